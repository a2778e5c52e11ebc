/** The endpoints whose requests can be cut. */
import { attention } from '../../endpoints/attention.ts'
import type { OfWhole } from '../../endpoints/models/endpoint.ts'
import { transformer } from '../../endpoints/transformer.ts'
import { attentionSubject } from './attention-subject.ts'
import { modelSubject } from './model-subject.ts'
import { stackSubject } from './stack-subject.ts'
import type { Subject } from './subject.ts'

/** `whole`: of a model's request. */
export function subjectOf(path: string, whole: OfWhole | undefined): Subject | undefined {
  if (path === attention.path) return attentionSubject
  if (path === transformer.path) return stackSubject
  return whole && modelSubject(whole)
}
