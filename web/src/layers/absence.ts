/** Why a map is not here. */
import { say } from '../words/language.ts'
import type { Refusal } from './full-maps.ts'

export type Absence =
  /** it is on its way, or its layer has not been computed yet */
  | { kind: 'coming' | 'later' }
  /** the run ended before its layer, or the connection that would have brought it is lost */
  | { kind: 'never' | 'lost' }
  | Refusal

/** It will not come by itself. */
export function isFinal({ kind }: Absence): boolean {
  return kind !== 'coming' && kind !== 'later'
}

export function reasonOf(absence: Absence): string {
  const words = say()
  switch (absence.kind) {
    case 'coming':
      return words.mapComing
    case 'later':
      return words.mapLater
    case 'never':
      return words.mapNever
    case 'lost':
      return words.mapLost
    case 'gone':
      return words.mapGone
    case 'refused':
      return words.mapRefused(absence.detail)
  }
}
