/** The worker, which cannot be loaded while FAILS_WHILE_LOADING is set: a thread gets the environment as it is when it starts. */
import serve from '../../workers/main.ts'

if (process.env.FAILS_WHILE_LOADING !== undefined) throw new Error('this worker cannot be loaded')

export default serve
