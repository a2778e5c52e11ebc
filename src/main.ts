/** Starts the service, with what earlier starts have compiled. */
import { keepCompiled } from './compile-cache.ts'

keepCompiled()
await import('./process.ts')
