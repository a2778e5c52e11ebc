/** Checkpoints in the server's MODELS_DIR: `client.models`. */
import type * as api from './api.d.ts'
import type { CallOptions, Transport } from './transport.ts'

export class Models {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async list(options?: CallOptions): Promise<api.ModelsAnswer> {
    return (await this.#transport.get('/v1/models', options)) as api.ModelsAnswer
  }

  async get(name: string, options?: CallOptions): Promise<api.ModelAnswer> {
    return (await this.#transport.get(pathOf(name), options)) as api.ModelAnswer
  }

  /** A model over text or token ids: maps, hidden states, logits, gradients. */
  async forward(
    name: string,
    request: api.ModelForwardRequest,
    options?: CallOptions,
  ): Promise<api.ModelForwardAnswer> {
    return (await this.#transport.post(`${pathOf(name)}/forward`, request, options)) as api.ModelForwardAnswer
  }
}

function pathOf(name: string): string {
  return `/v1/models/${encodeURIComponent(name)}`
}
