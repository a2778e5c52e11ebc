/** What the protocol's messages look like: requests are read by these schemas, and all are documented by them. */
import * as z from 'zod'
import { HugeNumber, NumbersSpan, name, shapeFault, TextSpan } from '../../formats/tensor.ts'
import { DATATYPES } from './datatypes.ts'

const MAX_RANK = 8

/** Longer strings are only located when a body is read. */
const text = z
  .unknown()
  .transform((value, context): string => {
    if (typeof value === 'string') return value
    return refuse(context, `expected a string of at most 1024 bytes, got ${name(value)}`)
  })
  .meta({ type: 'string' })

const shape = z
  .unknown()
  .transform((value, context): number[] => {
    const list = value instanceof NumbersSpan ? value.toArray(MAX_RANK) : value
    if (!Array.isArray(list) || list.some(each => typeof each !== 'number')) {
      return refuse(
        context,
        `expected an array of at most ${MAX_RANK} non-negative integers, got ${name(value)}`,
      )
    }
    const wrong = shapeFault(list)
    return wrong === undefined ? list : refuse(context, wrong.message, wrong.axis)
  })
  .meta({ type: 'array', items: { type: 'integer', minimum: 0 } })

/** A string, a number or a boolean. A long string stays where it is. */
const parameter = z.unknown().transform((value, context) => {
  if (['string', 'number', 'boolean'].includes(typeof value)) return value
  if (value instanceof TextSpan || value instanceof HugeNumber) return value
  const expected = 'expected a string, a number or a boolean (nested options go as JSON text into `request`)'
  return refuse(context, `${expected}, got ${name(value)}`)
})

function refuse(context: z.RefinementCtx, message: string, at?: number): never {
  context.issues.push({ code: 'custom', message, path: at === undefined ? [] : [at], input: undefined })
  return z.NEVER
}

const bytes = z.int().min(0)

const inputParameters = z
  .looseObject({
    binary_data_size: bytes
      .optional()
      .describe('bytes of its elements (little-endian, row-major) behind the JSON text, instead of `data`'),
  })
  .meta({ id: 'InferenceInputParameters' })
  .optional()

const outputParameters = z
  .looseObject({ binary_data: z.boolean().optional().describe('its elements as bytes behind the JSON text') })
  .meta({ id: 'InferenceRequestedOutputParameters' })
  .optional()

export const InferenceInput = z
  .object({
    name: text.describe('as in safetensors: `q`, `mask`, `backward.grad_output`, `params.w_q`, …'),
    datatype: z.enum([...DATATYPES, 'BYTES']).describe('BYTES of texts'),
    shape,
    data: z
      .unknown()
      .optional()
      .meta({ type: 'array', items: {} })
      .describe(
        'the elements in row-major order, flat or nested as the shape says; what is not finite as "NaN", "Infinity", "-Infinity", ' +
          'or the same without quotes',
      ),
    parameters: inputParameters,
  })
  .meta({ id: 'InferenceInput' })

export const InferenceRequest = z
  .object({
    id: text.optional().describe('comes back in the answer'),
    parameters: z
      .record(z.string(), parameter)
      .optional()
      .meta({ type: 'object', additionalProperties: {} })
      .describe(
        'the options of the endpoint of the same name, as strings, numbers and booleans: `causal`, `scale`, `precision`, `output_dtype`, …; ' +
          'nested ones as the JSON text of an object in `request`. `binary_data_output`: answer bytes where an output does not say. ' +
          '`timeout`: microseconds. Ignored: `priority`, `headers`, `sequence_…`, `triton_…`',
      ),
    inputs: z.array(InferenceInput),
    outputs: z
      .array(z.object({ name: text, parameters: outputParameters }).meta({ id: 'InferenceRequestedOutput' }))
      .optional()
      .describe('what to answer, in this order; default `output` alone'),
  })
  .meta({ id: 'InferenceRequest' })

export type InferenceRequest = z.output<typeof InferenceRequest>

const parameters = z
  .record(z.string(), z.unknown())
  .optional()
  .meta({ type: 'object', additionalProperties: {} })

export const InferenceAnswer = z
  .strictObject({
    model_name: z.string(),
    model_version: z.string(),
    id: z.string().optional(),
    parameters: parameters.describe('`loss` and other single numbers of the answer'),
    outputs: z.array(
      z
        .strictObject({
          name: z.string(),
          datatype: z.string(),
          shape: z.array(z.int()),
          data: z
            .array(z.unknown())
            .optional()
            .describe('in row-major order, flat; what is not finite as "NaN", "Infinity", "-Infinity"'),
          parameters: parameters.describe('`binary_data_size` where its bytes follow the JSON text'),
        })
        .meta({ id: 'InferenceOutputAnswer' }),
    ),
  })
  .meta({ id: 'InferenceAnswer' })

const tensor = z
  .strictObject({ name: z.string(), datatype: z.string(), shape: z.array(z.int()) })
  .meta({ id: 'InferenceTensorMetadataAnswer' })

export const ServerMetadata = z
  .strictObject({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .meta({ id: 'InferenceServerMetadataAnswer' })

export const ModelMetadata = z
  .strictObject({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(tensor).describe('those that every request has; −1 is any extent'),
    outputs: z.array(tensor).describe('those that are answered where none is asked for'),
    properties: z.record(z.string(), z.string()),
  })
  .meta({ id: 'InferenceModelMetadataAnswer' })

const configured = z
  .strictObject({
    name: z.string(),
    data_type: z.string().describe('`TYPE_FP32`, …; `TYPE_STRING` of texts'),
    dims: z.array(z.int()),
    optional: z.boolean().optional(),
  })
  .meta({ id: 'InferenceTensorConfigurationAnswer' })

export const ModelConfiguration = z
  .strictObject({
    name: z.string(),
    platform: z.string(),
    backend: z.string(),
    version_policy: z.record(z.string(), z.unknown()),
    max_batch_size: z.int().describe('0: the batch is an axis of the tensors'),
    input: z.array(configured),
    output: z.array(configured),
    parameters: z
      .record(z.string(), z.unknown())
      .describe('the metadata’s `properties`, each as `string_value`'),
  })
  .meta({ id: 'InferenceModelConfigurationAnswer' })

export const ModelList = z
  .strictObject({ models: z.array(z.string()) })
  .meta({ id: 'InferenceModelListAnswer' })

export const ServerHealth = z
  .strictObject({ live: z.boolean(), ready: z.boolean() })
  .meta({ id: 'InferenceServerHealthAnswer' })

export const ModelHealth = z
  .strictObject({ name: z.string(), ready: z.boolean() })
  .meta({ id: 'InferenceModelHealthAnswer' })

export const RepositoryIndexRequest = z
  .object({ ready: z.boolean().optional().describe('only those that are') })
  .meta({ id: 'RepositoryIndexRequest' })

export const RepositoryIndexAnswer = z
  .array(
    z
      .strictObject({ name: z.string(), version: z.string(), state: z.string(), reason: z.string() })
      .meta({ id: 'RepositoryModelAnswer' }),
  )
  .meta({ id: 'RepositoryIndexAnswer' })

const duration = z.strictObject({ count: z.int(), ns: z.int() }).meta({ id: 'StatisticDurationAnswer' })

const ofBatch = { compute_input: duration, compute_infer: duration, compute_output: duration }

const stages = z
  .strictObject({
    success: duration,
    fail: duration,
    queue: duration,
    ...ofBatch,
    cache_hit: duration,
    cache_miss: duration,
  })
  .meta({ id: 'InferenceStagesAnswer' })

const batch = z.strictObject({ batch_size: z.int(), ...ofBatch }).meta({ id: 'BatchStatisticsAnswer' })

export const StatisticsAnswer = z
  .strictObject({
    model_stats: z.array(
      z
        .strictObject({
          name: z.string(),
          version: z.string(),
          last_inference: z.int().describe('milliseconds since 1970'),
          inference_count: z.int().describe('items of batches'),
          execution_count: z.int().describe('requests'),
          inference_stats: stages,
          response_stats: z.record(z.string(), z.unknown()),
          batch_stats: z.array(batch),
          memory_usage: z.array(z.unknown()),
        })
        .meta({ id: 'ModelStatisticsAnswer' }),
    ),
  })
  .meta({ id: 'InferenceStatisticsAnswer' })
