/** `POST …/infer`: requests and answers of the protocol as the two ends of the pipeline. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { decode, type Intake } from '../../pipeline/decode.ts'
import { Receipt, Stages } from '../../pipeline/receipt.ts'
import { serve } from '../../pipeline/serve.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import { RequestBody, stopsWith } from '../rest.ts'
import { InferenceResponse, TEXT_LENGTH } from './answer.ts'
import { answering, type Call, readCall } from './call.ts'
import type { InferenceModel } from './models.ts'
import type { Statistics } from './statistics.ts'

export interface Served {
  model: InferenceModel
  statistics: Statistics
}

export async function infer(
  { model, statistics }: Served,
  request: FastifyRequest,
  reply: FastifyReply,
  intake: Intake,
  deadlineSeconds: number,
): Promise<Buffer | undefined> {
  const started = performance.now()
  const receipt = new Receipt()
  receipt.stages = request.follow && new Stages(request.follow)
  request.receipt = receipt
  const { signal, clock } = stopsWith(reply, deadlineSeconds)
  try {
    using body = await decode(new InferenceBody(request), intake)
    request.plainErrors = namesModel(body.tree)
    const call = await readCall(body, model)
    using stop = stopsAfter(call.timeout, signal)
    using opened = await model.open(stop.signal)
    const compilable = answering(opened.compilable, call.asked)
    const sink = new InferenceResponse(request, reply, receipt, model, call)
    receipt.timings.decode = performance.now() - started
    await serve(compilable, body, sink, intake, stop.signal).catch(error => {
      throw error instanceof Problem ? error.moved(each => call.places.of(each)) : error
    })
    statistics.succeeded(model.batch(call.shapes), receipt.timings, performance.now() - started)
    return sink.whole
  } catch (error) {
    statistics.failed(performance.now() - started)
    // too late for a problem
    if (reply.raw.headersSent) reply.raw.destroy()
    else throw error
  } finally {
    clearTimeout(clock)
  }
}

/** Clients send no type, JSON's, or that of bytes, whatever the body is: the header alone says where its text ends. */
export class InferenceBody extends RequestBody {
  readonly textBytes: number | undefined
  readonly bareNumbers = true

  constructor(request: FastifyRequest) {
    const { 'content-type': type, [TEXT_LENGTH]: length } = request.raw.headers
    const media = type?.split(';')[0].trim().toLowerCase()
    if (media && media !== 'application/json' && media !== 'application/octet-stream') {
      const detail = `expected application/json, application/octet-stream or no content type, got ${shortened(media)}`
      throw new Problem('UNSUPPORTED_MEDIA_TYPE', detail)
    }
    super(request, 'application/json')
    if (length === undefined) return
    if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) {
      const got = shortened(String(length))
      throw fieldProblem('INVALID_REQUEST', '', `expected ${TEXT_LENGTH} to be a number of bytes, got ${got}`)
    }
    this.textBytes = Number(length)
  }
}

/** As KServe's SDK does, which shows the text of no error but that of JSON. */
function namesModel(tree: unknown): boolean {
  return typeof tree === 'object' && tree !== null && 'model_name' in tree
}

/** The client's own deadline, where it has one. */
function stopsAfter(ms: Call['timeout'], signal: AbortSignal): { signal: AbortSignal } & Disposable {
  if (ms === undefined) return { signal, [Symbol.dispose]() {} }
  const stop = new AbortController()
  const late = () =>
    stop.abort(new Problem('DEADLINE_EXCEEDED', `expected an answer within ${ms} ms (timeout), got none`))
  const clock = setTimeout(late, Math.min(ms, MOST_WAIT))
  return { signal: AbortSignal.any([signal, stop.signal]), [Symbol.dispose]: () => clearTimeout(clock) }
}

/** Timers take no more. */
const MOST_WAIT = 2 ** 31 - 1
