/** Stands in for the compiler's own types (see `paths` in tsconfig.json), which declare AssemblyScript's globals for all. */
interface Files {
  readFile(name: string): string | null
  writeFile(name: string, contents: string | Uint8Array): void
  listFiles(): string[]
}

interface Result {
  error: Error | null
  stdout: { toString(): string }
  stderr: { toString(): string }
}

declare const asc: { version: string; main(options: string[], files: Files): Promise<Result> }
export default asc
