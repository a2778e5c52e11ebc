/** Korean sentences: 그것, 그, 그녀, 그들 and their nouns, particles after vowels and consonants, honorific verbs, two orders of words. */
import type { Draw, Frame } from './draw.ts'

const ANIMALS =
  '동물 개 고양이 말 소 새 토끼 여우 사자 곰 원숭이 오리 돼지 염소 늑대 호랑이 코끼리 강아지'.split(' ')
const PLACES = '길 도로 강 다리 들판 공원 정원 숲 언덕 호수 골목 마당 광장 거리'.split(' ')
const THINGS = '트로피 공 책 컵 의자 탁자 장난감 모자 전화기 인형 우산 베개'.split(' ')
const CONTAINERS = '가방 상자 서랍 바구니 자동차 창고 트렁크 봉투 찬장 방'.split(' ')
const WOMEN = '소녀 여자 딸 누나 언니 이모 공주 아가씨 아주머니 여동생'.split(' ')
const MEN = '소년 남자 아들 형 오빠 삼촌 왕자 청년 아저씨 남동생'.split(' ')
const PEOPLE = '아이 학생 친구 농부 가수 이웃 손님 기사'.split(' ')
/** Those of whom one speaks with 께서 and -시-. */
const ELDERS = '할머니 할아버지 어머니 아버지 선생님 사장님 교수님'.split(' ')

/** What particles stand behind: nouns, those of times and reasons too, and pronouns. */
export const NOUNS = new Set([
  ...[ANIMALS, PLACES, THINGS, CONTAINERS, WOMEN, MEN, PEOPLE, ELDERS].flat(),
  ...'그것 그것들 그 그녀 그들 먹이 때문 아침 밤 지난주'.split(' '),
])

/** As a stem that 다 or 기 follows, and as a reason. */
const OF_ANIMALS: [past: string, reason: string][] = [
  ['피곤했', '피곤해서'],
  ['배고팠', '배고파서'],
  ['졸렸', '졸려서'],
  ['아팠', '아파서'],
  ['목말랐', '목말라서'],
  ['지쳤', '지쳐서'],
  ['게을렀', '게을러서'],
  ['무서워했', '무서워해서'],
  ['약했', '약해서'],
]
const OF_PLACES: [past: string, reason: string][] = [
  ['넓었', '넓어서'],
  ['어두웠', '어두워서'],
  ['복잡했', '복잡해서'],
  ['미끄러웠', '미끄러워서'],
  ['위험했', '위험해서'],
  ['시끄러웠', '시끄러워서'],
  ['험했', '험해서'],
  ['더러웠', '더러워서'],
  ['멀었', '멀어서'],
]
const LARGE = ['컸', '길었', '무거웠', '두꺼웠']
const SMALL = ['작았', '좁았', '얕았', '가득했']
const OF_PEOPLE = ['기뻤', '친절했', '늦었', '슬펐', '바빴', '화났']
const BEFORE_NOUNS = ['늙은', '어린', '검은', '하얀', '작은']
const TIMES = ['어제', '아침에', '밤에', '지난주에']

/** Whether its last syllable ends with a consonant. */
export function closes(noun: string): boolean {
  return (noun.charCodeAt(noun.length - 1) - 0xac00) % 28 !== 0
}

const PARTICLES = { topic: ['은', '는'], subject: ['이', '가'], object: ['을', '를'] } as const

/** The particle that the noun wants, marked as what it decides. */
const particle = (noun: string, kind: keyof typeof PARTICLES) => `{${PARTICLES[kind][closes(noun) ? 0 : 1]}}`
/** The noun, marked if it is the pronoun's, with 들 and a particle. */
function phrase(noun: string, kind: keyof typeof PARTICLES, isIts = false, many = false): string {
  const name = isIts ? `*${noun}*` : noun
  return many ? `${name}들${particle('들', kind)}` : `${name}${particle(noun, kind)}`
}

const mark = (noun: string, isIts: boolean) => (isIts ? `*${noun}*` : noun)
const that = (d: Draw) => (d.happens(0.3) ? '그 ' : d.happens(0.2) ? `${d.pick(BEFORE_NOUNS)} ` : '')
const very = (d: Draw) => d.pick(['너무', '너무', '아주', '매우'])
const it = (d: Draw, name = '그것') => `_${name}_${d.happens(0.5) ? '{은}' : '{이}'}`
const either = (d: Draw): boolean => d.happens(0.5)

/** An animal and a place of which one is tired or wide: as two sentences, or as a reason in front. */
function moving(d: Draw, verbs: string[]) {
  const ofAnimal = either(d)
  const many = ofAnimal && d.happens(0.25)
  const [animal, place] = [d.noun(ANIMALS), d.noun(PLACES)]
  const [past, reason] = d.pick(ofAnimal ? OF_ANIMALS : OF_PLACES)
  const pronoun = it(d, many ? '그것들' : '그것')
  const subject = `${that(d)}${phrase(animal, either(d) ? 'topic' : 'subject', ofAnimal, many)}`
  const where = phrase(place, 'object', !ofAnimal)
  const parts = d.happens(0.8) ? [subject, where] : [where, subject]
  return {
    main: `${parts.join(' ')} ${d.pick(verbs)}`,
    subject,
    place: mark(place, !ofAnimal),
    after: `${pronoun} ${very(d)} ${past}`,
    before: `${pronoun} ${very(d)} ${reason}`,
  }
}

/** A woman and a man in either order; the pronoun tells which. */
function couple(d: Draw) {
  const [woman, man] = [d.noun(WOMEN), d.noun(MEN)]
  const ofWoman = either(d)
  const names = [
    { noun: woman, isIts: ofWoman },
    { noun: man, isIts: !ofWoman },
  ]
  if (either(d)) names.reverse()
  return { names, pronoun: ofWoman ? '그녀' : '그' }
}

export const KOREAN: Record<string, Frame> = {
  cross(d) {
    const { main, after } = moving(d, ['건너지 않았다', '건너지 않았다', '떠나지 않았다'])
    return `${main} . ${d.happens(0.3) ? '왜냐하면 ' : ''}${after}기 때문이다`
  },
  cross_joined(d) {
    const { main, after } = moving(d, ['건너지 않았다', '지나지 않았다'])
    return `${main} 왜냐하면 ${after}기 때문이다`
  },
  because_first(d) {
    const { main, before } = moving(d, ['건너지 않았다', '지나지 않았다'])
    return `${before} ${main}`
  },
  pass(d) {
    const { main, after } = moving(d, ['건너지 못했다', '지나지 못했다'])
    return `${main} . ${after}다`
  },
  stop(d) {
    const { subject, place, after } = moving(d, [''])
    return `${subject} ${place}에서 ${d.pick(['멈췄다', '쉬었다'])} . ${after}다`
  },
  avoid(d) {
    const { main, after } = moving(d, ['피했다', '싫어했다'])
    return `${d.pick(TIMES)} ${main} . ${after}기 때문이다`
  },
  fit(d) {
    const isLarge = either(d)
    const [thing, container] = [d.noun(THINGS), d.noun(CONTAINERS)]
    const subject = `${that(d)}${phrase(thing, either(d) ? 'topic' : 'subject', isLarge)}`
    const end = either(d) ? '다' : '기 때문이다'
    return `${subject} ${mark(container, !isLarge)}에 들어가지 않았다 . ${it(d)} ${very(d)} ${d.pick(isLarge ? LARGE : SMALL)}${end}`
  },
  hold(d) {
    const isLarge = either(d)
    const [container, thing] = [d.noun(CONTAINERS), d.noun(THINGS)]
    const names = [phrase(container, 'topic', !isLarge), phrase(thing, 'object', isLarge)]
    const end = either(d) ? '다' : '기 때문이다'
    return `${names.join(' ')} 담지 못했다 . ${it(d)} ${very(d)} ${d.pick(isLarge ? LARGE : SMALL)}${end}`
  },
  see(d) {
    const { names, pronoun } = couple(d)
    const [one, other] = names
    const place = d.pick(PLACES)
    return `${phrase(one.noun, 'subject', one.isIts)} ${phrase(other.noun, 'object', other.isIts)} ${d.pick(['보았을', '만났을'])} 때 _${pronoun}_{는} ${place}에 있었다`
  },
  give(d) {
    const { names, pronoun } = couple(d)
    const [one, other] = names
    const thing = d.pick(THINGS)
    return `${phrase(one.noun, 'topic', one.isIts)} ${mark(other.noun, other.isIts)}에게 ${phrase(thing, 'object')} 주었다 . _${pronoun}_{는} ${d.pick(OF_PEOPLE)}다`
  },
  call(d) {
    const { names, pronoun } = couple(d)
    const [one, other] = names
    return `${phrase(one.noun, either(d) ? 'topic' : 'subject', one.isIts)} ${phrase(other.noun, 'object', other.isIts)} 불렀고 _${pronoun}_{${either(d) ? '는' : '가'}} ${d.pick(['웃었다', '대답했다', '왔다'])}`
  },
  together(d) {
    const { names, pronoun } = couple(d)
    const [one, other] = names
    const helper = d.pick(PEOPLE)
    return `${d.pick(TIMES)} ${phrase(one.noun, 'subject', one.isIts)} ${phrase(other.noun, 'object', other.isIts)} 데려왔고 ${phrase(helper, 'subject')} _${pronoun}_{를} ${d.pick(['도왔다', '반겼다'])}`
  },
  feed(d) {
    const [isWoman, ofPerson] = [either(d), either(d)]
    const [person, animal] = [d.noun(isWoman ? WOMEN : MEN), d.noun(ANIMALS)]
    const clause = ofPerson
      ? `_${isWoman ? '그녀' : '그'}_{는} ${d.pick(OF_PEOPLE)}다`
      : `${it(d)} ${d.pick(OF_ANIMALS)[0]}다`
    return `${phrase(person, 'topic', ofPerson)} ${mark(animal, !ofPerson)}에게 먹이를 주었다 . ${clause}`
  },
  lose(d) {
    const [thing, person, container] = [d.noun(THINGS), d.pick(PEOPLE), d.pick(CONTAINERS)]
    const verb = d.pick(['잃어버렸다', '찾지 못했다'])
    return `${phrase(person, 'topic')} ${phrase(thing, 'object', true)} ${verb} . ${it(d)} ${container}에 있었다`
  },
  look_for(d) {
    const [animal, person, place] = [d.noun(ANIMALS), d.pick(PEOPLE), d.pick(PLACES)]
    const many = d.happens(0.4)
    return `${phrase(person, 'topic')} ${phrase(animal, 'object', true, many)} 찾다가 ${place}에서 _${many ? '그것들' : '그것'}_{을} ${d.pick(['보았다', '찾았다'])}`
  },
  follow(d) {
    const [first, second] = [d.noun(ANIMALS), d.noun(ANIMALS)]
    const [isFirst, firstMany] = [either(d), either(d)]
    const many = isFirst === firstMany
    const [one, other] = [
      phrase(first, 'subject', isFirst, firstMany),
      phrase(second, 'object', !isFirst, !firstMany),
    ]
    return `${one} ${other} ${d.pick(['따라갔다', '쫓았다'])} . ${it(d, many ? '그것들' : '그것')} ${d.pick(OF_ANIMALS)[0]}다`
  },
  they_met(d) {
    const [people, elder] = [d.noun(PEOPLE), d.pick(ELDERS)]
    return `${phrase(people, 'topic', true, true)} ${phrase(elder, 'object')} 만났다 . _그들_{은} ${d.pick(OF_PEOPLE)}다`
  },
  honorific(d) {
    const isElder = either(d)
    const who = isElder ? `${d.noun(ELDERS)}{께서}` : phrase(d.noun(PEOPLE), either(d) ? 'topic' : 'subject')
    const place = d.pick(PLACES)
    const [plain, polite] = d.pick([
      ['갔', '가셨'],
      ['왔', '오셨'],
      ['앉았', '앉으셨'],
    ])
    return `${d.happens(0.3) ? `${d.pick(TIMES)} ` : ''}${who} ${place}에 {${isElder ? polite : plain}}다`
  },
  chase(d) {
    const [one, other] = [phrase(d.noun(ANIMALS), 'subject'), phrase(d.noun(ANIMALS), 'object')]
    const names = either(d) ? [one, other] : [other, one]
    return `${names.join(' ')} ${d.pick(['쫓았다', '따라갔다', '보았다'])}`
  },
}
