/** English sentences: it, he, she, they and their nouns, verbs that agree with a noun further away, two orders of clauses. */
import type { Draw, Frame } from './draw.ts'

const ANIMALS =
  'animal dog cat horse cow bird rabbit fox lion bear monkey duck pig goat wolf tiger elephant kitten'.split(
    ' ',
  )
const PLACES = 'street road river bridge field park garden forest hill lake valley path yard square'.split(
  ' ',
)
const THINGS = 'trophy ball book cup chair table toy hat phone lamp violin pillow'.split(' ')
const CONTAINERS = 'suitcase box bag drawer basket car cupboard room trunk envelope'.split(' ')
const WOMEN = 'girl woman mother sister queen aunt grandmother daughter princess lady'.split(' ')
const MEN = 'boy man father brother king uncle grandfather son prince waiter'.split(' ')
const PEOPLE = 'child student teacher doctor farmer friend neighbor singer nurse driver'.split(' ')

/** Of who moves, of where one is, of what is put into something, and of what it is put into. */
const OF_ANIMALS = 'tired hungry scared sleepy thirsty sick lazy weak afraid exhausted'.split(' ')
const OF_PLACES = 'wide busy muddy dark steep crowded icy noisy deep slippery'.split(' ')
const LARGE = 'big large long heavy'.split(' ')
const SMALL = 'small narrow tiny full'.split(' ')
const OF_PEOPLE = 'happy kind late angry sad proud busy polite'.split(' ')
const BEFORE_NOUNS = 'old young black white brown little'.split(' ')
const TIMES = ['yesterday', 'in the morning', 'at night', 'last week']

const IRREGULAR: Record<string, string> = {
  wolf: 'wolves',
  man: 'men',
  woman: 'women',
  child: 'children',
  box: 'boxes',
  fox: 'foxes',
  bus: 'buses',
}

export function plural(noun: string): string {
  if (noun in IRREGULAR) return IRREGULAR[noun]
  return /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`
}

const too = (d: Draw) => d.pick(['too', 'so', 'very'])
const old = (d: Draw) => (d.happens(0.2) ? `${d.pick(BEFORE_NOUNS)} ` : '')
const not = (d: Draw, verb: string) => (d.happens(0.5) ? `${verb} not` : `${verb}n't`)
const was = (isMany: boolean) => (isMany ? 'were' : 'was')
/** A pair in either order, and whether the first one is wanted. */
const either = (d: Draw): boolean => d.happens(0.5)

/** The noun, marked if it is the pronoun's. */
const mark = (noun: string, isIts: boolean) => (isIts ? `*${noun}*` : noun)

/** An animal and a place of which one is tired or wide, and the clause that says so. */
function moving(d: Draw) {
  const ofAnimal = either(d)
  const many = ofAnimal && d.happens(0.3)
  const [animal, place] = [d.noun(ANIMALS), d.noun(PLACES)]
  const name = `${old(d)}${mark(many ? plural(animal) : animal, ofAnimal)}`
  const clause = `${many ? '_they_' : '_it_'} {${was(many)}} ${too(d)} ${d.pick(ofAnimal ? OF_ANIMALS : OF_PLACES)}`
  return { animal: `the ${name}`, place: `the ${mark(place, !ofAnimal)}`, clause }
}

/** A woman and a man in either order; the pronoun tells which. */
function couple(d: Draw, she = 'she', he = 'he') {
  const [woman, man] = [d.noun(WOMEN), d.noun(MEN)]
  const ofWoman = either(d)
  const names = [`the ${old(d)}${mark(woman, ofWoman)}`, `the ${old(d)}${mark(man, !ofWoman)}`]
  if (either(d)) names.reverse()
  return { names, pronoun: `_${ofWoman ? she : he}_` }
}

/** A person and an animal that is looked after. */
function owner(d: Draw) {
  const isWoman = either(d)
  const ofPerson = either(d)
  const many = !ofPerson && d.happens(0.4)
  const [person, animal] = [d.noun(isWoman ? WOMEN : MEN), d.noun(ANIMALS)]
  const they = many ? 'they' : 'it'
  return {
    person: `the ${mark(person, ofPerson)}`,
    animal: `the ${mark(many ? plural(animal) : animal, !ofPerson)}`,
    clause: ofPerson
      ? `_${isWoman ? 'she' : 'he'}_ {was} ${d.pick(OF_PEOPLE)}`
      : `_${they}_ {${was(many)}} ${d.pick(OF_ANIMALS)}`,
  }
}

export const ENGLISH: Record<string, Frame> = {
  cross(d) {
    const { animal, place, clause } = moving(d)
    const verb = d.pick(['cross', 'cross', 'enter', 'leave'])
    return `${animal} ${not(d, 'did')} ${verb} ${place} because ${clause}`
  },
  because_first(d) {
    const { animal, place, clause } = moving(d)
    return `because ${clause} , ${animal} ${not(d, 'did')} ${d.pick(['cross', 'enter'])} ${place}`
  },
  walk_through(d) {
    const { animal, place, clause } = moving(d)
    const way = d.pick(['walk through', 'run across', 'get over'])
    return `${animal} ${not(d, 'could')} ${way} ${place} because ${clause}`
  },
  stop(d) {
    const { animal, place, clause } = moving(d)
    return `${animal} stopped ${d.pick(['at', 'near', 'in'])} ${place} . ${clause}`
  },
  avoid(d) {
    const { animal, place, clause } = moving(d)
    return `${d.pick(TIMES)} ${animal} avoided ${place} , because ${clause}`
  },
  fit(d) {
    const isLarge = either(d)
    const [thing, container] = [d.noun(THINGS), d.noun(CONTAINERS)]
    const clause = `_it_ was ${too(d)} ${d.pick(isLarge ? LARGE : SMALL)}`
    return `the ${mark(thing, isLarge)} ${not(d, 'did')} ${d.pick(['fit into', 'go into'])} the ${mark(container, !isLarge)} because ${clause}`
  },
  hold(d) {
    const isLarge = either(d)
    const [container, thing] = [d.noun(CONTAINERS), d.noun(THINGS)]
    const clause = `_it_ was ${too(d)} ${d.pick(isLarge ? LARGE : SMALL)}`
    return `the ${mark(container, !isLarge)} ${not(d, 'could')} hold the ${old(d)}${mark(thing, isLarge)} . ${clause}`
  },
  see(d) {
    const { names, pronoun } = couple(d)
    return `${names[0]} ${d.pick(['saw', 'met', 'called'])} ${names[1]} when ${pronoun} was in the ${d.pick(PLACES)}`
  },
  give(d) {
    const { names, pronoun } = couple(d)
    return `${names[0]} gave ${names[1]} a ${d.pick(THINGS)} because ${pronoun} was ${d.pick(OF_PEOPLE)}`
  },
  thank(d) {
    const { names, pronoun } = couple(d)
    return `${names[0]} thanked ${names[1]} , and ${pronoun} ${d.pick(['smiled', 'laughed', 'waved', 'went home'])}`
  },
  ask(d) {
    const { names, pronoun } = couple(d, 'her', 'him')
    return `${d.pick(TIMES)} ${names[0]} came with ${names[1]} , and the ${d.pick(PEOPLE)} ${d.pick(['greeted', 'helped', 'asked'])} ${pronoun}`
  },
  feed(d) {
    const { person, animal, clause } = owner(d)
    return `${person} ${d.pick(['fed', 'helped', 'carried'])} ${animal} because ${clause}`
  },
  watch(d) {
    const { person, animal, clause } = owner(d)
    return `${person} watched ${animal} in the ${d.pick(PLACES)} . ${clause}`
  },
  find(d) {
    const many = either(d)
    const animal = d.noun(ANIMALS)
    const name = `*${many ? plural(animal) : animal}*`
    return `the ${d.pick(PEOPLE)} looked for the ${name} and found _${many ? 'them' : 'it'}_ in the ${d.pick(PLACES)}`
  },
  lose(d) {
    const [thing, person, container] = [d.noun(THINGS), d.pick(PEOPLE), d.pick(CONTAINERS)]
    return `the ${person} lost the *${thing}* , but _it_ was in the ${container}`
  },
  meet(d) {
    const [first, second] = [d.noun(PEOPLE), d.noun(PEOPLE)]
    const isFirst = either(d)
    const [one, other] = isFirst ? [plural(first), second] : [first, plural(second)]
    return `the ${mark(one, isFirst)} met the ${mark(other, !isFirst)} because _they_ {were} ${d.pick(OF_PEOPLE)}`
  },
  follow(d) {
    const [first, second] = [d.noun(ANIMALS), d.noun(ANIMALS)]
    const [isFirst, firstMany] = [either(d), either(d)]
    const many = isFirst === firstMany
    const [one, other] = [firstMany ? plural(first) : first, firstMany ? second : plural(second)]
    const pronoun = `_${many ? 'they' : 'it'}_`
    return `the ${mark(one, isFirst)} ${d.pick(['followed', 'saw', 'chased'])} the ${mark(other, !isFirst)} because ${pronoun} {${was(many)}} ${d.pick(OF_ANIMALS)}`
  },
  near(d) {
    const many = either(d)
    const [subject, other] = [d.noun([...ANIMALS, ...PEOPLE]), d.pick(PLACES)]
    const name = `the ${old(d)}${many ? plural(subject) : subject}`
    const place = `the ${either(d) ? other : plural(other)}`
    return `${name} near ${place} {${was(many)}} ${d.pick(OF_ANIMALS)}`
  },
  run(d) {
    const many = either(d)
    const subject = d.noun([...ANIMALS, ...PEOPLE])
    const name = many
      ? `${d.pick(['all', 'many'])} ${plural(subject)}`
      : `${d.pick(['every', 'a'])} ${subject}`
    const verb = d.pick(['run', 'walk', 'come'])
    const place = d.pick(PLACES)
    return `${name} {${many ? verb : `${verb}s`}} to the ${either(d) ? place : plural(place)}`
  },
  passive(d) {
    const many = either(d)
    const [one, other] = [d.noun(ANIMALS), d.noun(ANIMALS)]
    const name = many ? plural(one) : one
    return `the ${name} {${was(many)}} ${d.pick(['chased', 'followed', 'seen'])} by the ${either(d) ? other : plural(other)}`
  },
}
