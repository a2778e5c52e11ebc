/** How long the server may be silent before the reader is told; nothing is given up then, and nothing is hidden either. */
export const PATIENCE_MS = 10_000
