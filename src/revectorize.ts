/**
 * Lets V8 fuse pairs of adjacent 128-bit WebAssembly operations into 256-bit ones: an experiment of V8's for x64 with AVX2,
 * worth a quarter of the kernels' speed. The kernels prove themselves at start-up either way. To be imported before anything
 * that compiles WebAssembly; a command-line flag would keep Node from starting where it is not known.
 */
import { setFlagsFromString } from 'node:v8'

if (process.arch === 'x64') setFlagsFromString('--experimental-wasm-revectorize')
