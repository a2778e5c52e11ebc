/**
 * The float32 kernels: AssemblyScript compiled to WebAssembly, working in place on the shared memory.
 *
 * An instance holds nothing: every call brings its own scratch memory, so any number of workers may share the tensors.
 */
import { readFileSync } from 'node:fs'
import type { Args, Op, Tensors } from '../ops/define-op.ts'
import { moduleFile, type SimdVariant } from './variants.ts'
import { callWriter } from './write-call.ts'

/** A kernel as a task calls it; `scratch` is the byte offset of a work area that is the task's alone. */
export type Run<O extends Op> = (t: Tensors<O>, a: Args<O>, from: number, to: number, scratch: number) => void

export type WasmFunction = (...args: number[]) => void

export class SimdModule {
  readonly memory: WebAssembly.Memory
  readonly #exports: Record<string, unknown>

  /** Reads the variant's module (built by `scripts/build-kernels.ts`) and binds it to the memory that holds the tensors. */
  constructor(memory: WebAssembly.Memory, variant: SimdVariant) {
    const module = new WebAssembly.Module(readFileSync(moduleFile(variant)))
    this.memory = memory
    this.#exports = new WebAssembly.Instance(module, { env: { memory } }).exports
  }

  /** The kernel of an op of `ops/index.ts`. */
  kernel<O extends Op>(op: O): Run<O> {
    const run = this.export(op.name)
    const write = callWriter(this.memory, op)
    return (t, a, from, to, scratch) => {
      write(t, a, scratch)
      run(scratch, from, to)
    }
  }

  export(name: string): WasmFunction {
    const value = this.#exports[name]
    if (!isFunction(value)) throw new Error(`the module has no kernel ${name}`)
    return value
  }
}

function isFunction(value: unknown): value is WasmFunction {
  return typeof value === 'function'
}
