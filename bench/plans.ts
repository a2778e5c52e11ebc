/** Plans against what requests take: planned and measured time on one thread, for every option, small and large. */
import { CostModel } from '../src/engine/cost-model.ts'
import { PLAN_CASES } from './plan-cases.ts'
import { PlanRun } from './plan-runs.ts'
import { median, table } from './report.ts'

/** `ONLY=alibi npm run bench -- plans`: requests whose names have this in them. */
const only = process.env.ONLY ?? ''

export function benchPlans(): void {
  const costModel = new CostModel()
  const ratios: number[] = []
  const rows: string[][] = []
  for (const planCase of PLAN_CASES.filter(({ name }) => name.includes(only))) {
    using run = new PlanRun(planCase, costModel)
    const { planned } = run
    const measured = run.measure()
    const ratio = planned / measured
    ratios.push(ratio)
    rows.push([planCase.name, (planned * 1e3).toFixed(3), (measured * 1e3).toFixed(3), ratio.toFixed(2)])
  }
  const off = ratios.map(ratio => Math.max(ratio, 1 / ratio))
  console.log(table(['request', 'planned ms', 'measured ms', 'ratio'], rows))
  console.log(
    `${ratios.length} plans: planned/measured from ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}; ` +
      `off by a factor of ${median(off).toFixed(2)} in the median, ${off.filter(each => each > 3).length} by more than 3\n`,
  )
}
