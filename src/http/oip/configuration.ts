/** `GET …/config`: a model in the words of Triton's configuration, which its clients ask for. */
import type * as z from 'zod'
import type { InferenceModel, TensorMetadata } from './models.ts'
import type { ModelConfiguration } from './schema.ts'

/** The batch is an axis of the tensors like any other. */
const MAX_BATCH_SIZE = 0

export function configurationOf(model: InferenceModel): z.output<typeof ModelConfiguration> {
  const tensor = ({ name, datatype, shape }: TensorMetadata) => ({
    name,
    data_type: `TYPE_${datatype}`,
    dims: shape,
  })
  const optional = model.texts.map(name => ({ name, data_type: 'TYPE_STRING', dims: [-1], optional: true }))
  const properties = Object.entries(model.properties)
  return {
    name: model.name,
    platform: model.platform,
    backend: 'attention-server',
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: MAX_BATCH_SIZE,
    input: [...model.inputs.map(tensor), ...optional],
    output: model.outputs.map(tensor),
    parameters: Object.fromEntries(properties.map(([name, value]) => [name, { string_value: value }])),
  }
}
