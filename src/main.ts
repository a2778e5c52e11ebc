/** Starts the service, with what earlier starts have compiled. */
import { keepCompiled } from './compile-cache.ts'

keepCompiled()
try {
  await import('./process.ts')
} catch (error) {
  const { WrongSettings } = await import('./config.ts')
  if (!(error instanceof WrongSettings)) throw error
  // where in the code it was found is of no use to an operator
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
