/** `npm run conformance`: ONNX's own cases against this build. Exits with 1 where one of them fails. */
import { conformance } from '../test/conformance/scoreboard.ts'

process.exitCode = (await conformance(text => console.log(text))) ? 0 : 1
