/** Elements of one unit of a kernel that goes through tensors element by element. */
export const ELEMENT_BLOCK = 4096
