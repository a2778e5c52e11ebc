/** A small request. */
const rows = Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => Math.sin(i * 8 + j)))
export const SMALL = Buffer.from(JSON.stringify({ q: rows, k: rows, v: rows }))
