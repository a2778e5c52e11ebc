/** Forward mode: how output, weights and logsumexp move as what goes into them moves (a Jacobian-vector product). */
import { FORWARD_BLOCK, QUERY_TILE } from '../../layout.ts'
import { type CostContext, price, type Tensors } from '../define-op.ts'
import { type AttentionArgs, args, words } from './args.ts'
import { areas, extras, pairsTime, rowsOf, tilesTogether } from './resources.ts'
import { family, scoreTensors } from './tensors.ts'

const tensors = {
  ...scoreTensors,
  v: 'in',
  /** [batch, heads, queries, 2], from the forward kernel, with the sinks in it where there are some */
  denominator: 'in:float64',
  /** [heads]; needed beside tangentSinks */
  sinks: 'in?',
  /** tangents, each shaped like what it is of; one that is missing is 0. That of a float mask is addressed as the mask is */
  tangentQ: 'in?',
  tangentK: 'in?',
  tangentV: 'in?',
  tangentMask: 'in?',
  tangentSinks: 'in?',
  /** [batch, heads, queries, dimV] */
  tangentOutput: 'out?',
  /** [batch, heads, queries, keys], of the weights before dropout; exactly 0 wherever not attended */
  tangentWeights: 'out?',
  /** [batch, heads, queries]; 0 where logsumexp is −∞ */
  tangentLogsumexp: 'out?',
} as const

type Given = Pick<CostContext<typeof tensors>, 'tensors'>['tensors']

/** Whether anything moves the scores, or a sink beside them. */
function scoresMove({ tangentQ, tangentK, tangentMask, tangentSinks }: Given): boolean {
  return [tangentQ, tangentK, tangentMask, tangentSinks].some(tangent => tangent !== undefined)
}

/** Multiplications a pair: of its score and the score's tangent, and of its part in the output's. */
function products({ dimK, dimV }: AttentionArgs, given: Given) {
  const { tangentQ, tangentK, tangentV, tangentOutput } = given
  const ofScore = [tangentQ, tangentK].filter(tangent => tangent !== undefined).length
  const ofValues = Number(scoresMove(given)) + Number(tangentV !== undefined)
  return { score: dimK * (1 + ofScore), result: tangentOutput === undefined ? 0 : dimV * ofValues }
}

/** Pairs of tiles, of weights and of tangents, that a call may keep: about a megabyte, of the second-level cache. */
export const KEPT_TILES = 36

/** A row, a pair beside its products, a multiplication, and an element of the weights' map. */
const ROW = price(100, 500)
const PAIR = price(1, 130)
const PRODUCT = price(0.0185, 2)
const MAP = price(0.6, 5)

function time(a: AttentionArgs, context: CostContext<typeof tensors>): number {
  const { precision: p, tensors: given } = context
  const { score, result } = products(a, given)
  // kernels in float32 form the scores twice where they cannot be kept
  const isKept = a.keys <= KEPT_TILES * FORWARD_BLOCK || !scoresMove(given)
  const needsSums = given.tangentOutput !== undefined || given.tangentWeights !== undefined
  const times = p === 'float64' || isKept || !needsSums ? 1 : 2
  const perPair = times * (PAIR[p] + 1.3 * extras(a, context) + score * PRODUCT[p]) + result * PRODUCT[p]
  const map = given.tangentWeights === undefined ? 0 : rowsOf(a) * a.keys * MAP[p]
  return rowsOf(a) * ROW[p] + pairsTime(a, context, perPair) + map
}

/** Those that it may come to need. */
function keptTiles(a: Pick<AttentionArgs, 'queries' | 'keys' | 'dimK' | 'dimV'>): number {
  const blocks = Math.ceil(a.keys / FORWARD_BLOCK)
  return blocks < 2
    ? 0
    : Math.min(KEPT_TILES, blocks * Math.min(tilesTogether(a), Math.ceil(a.queries / QUERY_TILE)))
}

/** Unit = QUERY_TILE query rows of one (batch, head), all independent, as of attentionForward. */
export const attentionJvp = family.define('attentionJvp', {
  tensors,
  args,
  units: ({ batch, heads, queries }) => batch * heads * Math.ceil(queries / QUERY_TILE),
  group: a => Math.ceil(a.queries / QUERY_TILE),
  cost: (a, context) => {
    const { score, result } = products(a, context.tensors)
    return { flops: 2 * a.heads * context.area * (score + result), nanoseconds: time(a, context) }
  },
  words,
  areas: {
    ...areas,
    /** as keyPack, valueRows and scaledQueries, of the tangents */
    tangentKeyPack: areas.keyPack,
    tangentValueRows: areas.valueRows,
    scaledTangents: areas.scaledQueries,
    /** [keptTiles][2][24][144]: weights, and tangents of scores */
    kept: a => keptTiles(a) * 2 * areas.tile(a),
  },
})

export type JvpTensors = Tensors<typeof attentionJvp>
