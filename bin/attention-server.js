#!/usr/bin/env node
/* Says which Node it takes before anything is loaded that an older one cannot read. */
const LEAST = 22
const major = Number(process.versions.node.split('.')[0])

if (major < LEAST) {
  process.stderr.write(
    `attention-server needs Node ${LEAST} or newer; this is Node ${process.versions.node}\n`,
  )
  process.exitCode = 2
} else {
  import('../dist/src/cli/main.js').catch(error => {
    const unbuilt = error.code === 'ERR_MODULE_NOT_FOUND' && /dist.src.cli.main\.js/.test(error.message)
    process.stderr.write(`${unbuilt ? 'not built: npm run build:package' : error.stack}\n`)
    process.exitCode = 2
  })
}
