/** The AsyncAPI 3 document of `GET /v1/stream`, generated from the zod schemas; `openapi/asyncapi.json` is its committed copy. */
import type * as z from 'zod'
import { ModelStartMessage } from '../../endpoints/models/start.ts'
import { SERVER_MESSAGES } from '../../endpoints/stream-answers.ts'
import { CLIENT_MESSAGES } from '../../endpoints/stream-messages.ts'
import { component, type Json, TENSORS } from './components.ts'
import { named, withoutSafeBounds } from './named.ts'

const SUMMARIES: Record<string, string> = {
  start: 'Runs a stack; its layers come as they are computed',
  startModel: 'The same of a model: `model` and a text, or token ids, in place of `stack` and `x`',
  credit: 'Lets more layer frames onto the wire: usually one for each that has been dealt with',
  cancel: 'Ends a run',
  fetch: 'Asks for one head of a full map, of a run with `detail`',
  release: 'Nothing more will be fetched of a run: its maps may go',
  accepted: 'The run has been admitted',
  layer: 'A layer is computed',
  token: 'A model has generated a token',
  progress: 'How far a run is',
  done: 'A run has ended well',
  map: 'One head of a full map',
  cancelled: 'A run has ended because its client said so',
  error: 'A message was wrong, or a run has failed',
  going_away: 'The server is shutting down',
}

/** Of the handshake. */
const QUERY = {
  type: 'object',
  properties: {
    ticket: {
      type: 'string',
      description:
        'of `POST /v1/stream-ticket`: where the server asks for a key, and a browser cannot send it',
    },
  },
}

export function asyncApiDocument(version: string): Json {
  const schemas: Record<string, Json> = {}
  const messages = (all: Record<string, z.ZodType>, io: 'input' | 'output') =>
    Object.entries(all).map(([type, schema]) => [
      type,
      {
        name: type,
        summary: SUMMARIES[type],
        contentType: 'application/json',
        payload: component(schema, io, schemas, 'draft-7'),
      },
    ])
  const { start, ...others } = CLIENT_MESSAGES
  const asked = { start, startModel: ModelStartMessage, ...others }
  const fromClient = Object.fromEntries(messages(asked, 'input'))
  const fromServer = Object.fromEntries(messages(SERVER_MESSAGES, 'output'))
  const inChannel = (type: string) => ({ $ref: `#/channels/stream/messages/${type}` })
  const operation = (action: 'send' | 'receive', summary: string, types: object) => ({
    action,
    summary,
    channel: { $ref: '#/channels/stream' },
    messages: Object.keys(types).map(inChannel),
  })
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'attention-server stream',
      version,
      description: ABOUT,
      contact: { name: 'attention-server' },
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      local: { host: '127.0.0.1:8080', protocol: 'ws', description: 'where `npm start` listens' },
    },
    channels: {
      stream: {
        address: '/v1/stream',
        title: 'A transformer stack layer by layer',
        servers: [{ $ref: '#/servers/local' }],
        messages: Object.fromEntries(
          Object.keys({ ...fromClient, ...fromServer }).map(type => [
            type,
            { $ref: `#/components/messages/${type}` },
          ]),
        ),
        bindings: { ws: { method: 'GET', query: QUERY, bindingVersion: '0.1.0' } },
      },
    },
    operations: {
      takeMessages: operation('receive', 'What clients send', fromClient),
      tellLayers: operation('send', 'What the server sends', fromServer),
    },
    components: {
      messages: { ...fromClient, ...fromServer },
      schemas: titled(named({ ...withoutSafeBounds(schemas), ...TENSORS })),
    },
  }
}

/** Generators of models name them by their titles. A discriminator is something else in AsyncAPI. */
function titled(schemas: Record<string, Json>): Record<string, Json> {
  return Object.fromEntries(
    Object.entries(schemas).map(([title, { discriminator: _, ...schema }]) => [title, { title, ...schema }]),
  )
}

const ABOUT = `Many runs go over one connection, side by side. Every message is one JSON object with a \`type\`.

**Keys.** Where the server asks for one (\`AUTH\`), the handshake comes with \`Authorization: Bearer\`, or from a browser with
\`?ticket=\` and a ticket of \`POST /v1/stream-ticket\`, which opens one stream within half a minute.

**Models.** A \`start\` with \`model\` and \`text\` (or \`token_ids\`) runs a model of \`GET /v1/models\`: \`accepted\` tells its tokens, its
layers come as those of a stack do, tokens that it generates as \`token\` messages, and \`done\` has what \`return\` names of the whole.

**safetensors.** A \`start\` may be a binary message: a safetensors file whose tensors carry the places of the JSON message
(\`x\`, \`stack.params.layers.0.attention.w_q\`, \`backward.target\`), everything else being one JSON string in its
\`__metadata__\` under \`request\`. With \`"encoding":"safetensors"\` each \`layer\`, \`done\` and \`map\` is a binary message:
a safetensors file with \`tensors.weights\`, \`scales.weights\`, \`tensors.grad_params.layers.0.ffn.w_1\`, \`output\`, \`grads.x\`,
\`values\`; everything else is one JSON string under \`frame\`.

\`accepted\`, \`progress\` and all others stay text.

**Message limits of clients.** A layer with maps is often larger than what a library takes by default (Python's websockets 1 MiB, Go's
coder/websocket 32 KiB), which then closes the connection with 1009: raise the limit, or ask for smaller maps with \`detail\`.

**Credit.** Each layer frame takes one of the run's credits, 8 by default (\`credit\` of \`start\`); without any, the run waits and holds
no worker. \`credit\` adds some: \`{"type":"credit","id":…,"add":1}\` for each layer that has been dealt with.

**Order.** \`accepted\`, then \`layer\`, \`token\` and \`progress\` messages, then one of \`done\`, \`cancelled\` and \`error\` with the run's id,
which may then be used again. What comes for a run that has just ended is ignored. With \`detail\` and after \`done\`, the id stays
taken until \`release\`, for \`STREAM_IDLE_SECONDS\` at most. Messages are limited like bodies; one that is larger closes the connection
(1009), one that is too slow (408) closes it with 1008, and the largest of too many that are not whole (503) with 1013.

**Memory.** Runs that wait for a credit or for their frames to be read, and maps that are kept, may hold an eighth of the tensor
memory on one connection and a quarter in all. Beyond that, or where other requests find no memory, the run that has waited
longest ends with \`CLIENT_IDLE\`, and maps that are kept are gone: a \`fetch\` is told that there is no such run. A run takes
\`RUN_SECONDS\` in all.`
