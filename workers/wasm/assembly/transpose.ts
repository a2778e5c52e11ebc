/** Four rows of `depth` elements, turned into columns: into[p][0 … 4) = source[0 … 4)[p]. Rows of `into` are packRow bytes apart. */
export function transposeFour(source: usize, sourceRow: usize, depth: i32, into: usize, packRow: usize): void {
  let s0 = source
  let s1 = s0 + sourceRow
  let s2 = s1 + sourceRow
  let s3 = s2 + sourceRow
  let p = depth
  for (; p >= 4; p -= 4) {
    const r0 = v128.load(s0)
    const r1 = v128.load(s1)
    const r2 = v128.load(s2)
    const r3 = v128.load(s3)
    const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5)
    const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7)
    const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5)
    const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7)
    v128.store(into, v128.shuffle<i64>(low01, low23, 0, 2))
    into += packRow
    v128.store(into, v128.shuffle<i64>(low01, low23, 1, 3))
    into += packRow
    v128.store(into, v128.shuffle<i64>(high01, high23, 0, 2))
    into += packRow
    v128.store(into, v128.shuffle<i64>(high01, high23, 1, 3))
    into += packRow
    s0 += 16
    s1 += 16
    s2 += 16
    s3 += 16
  }
  for (; p > 0; --p) {
    store<f32>(into, load<f32>(s0))
    store<f32>(into, load<f32>(s1), 4)
    store<f32>(into, load<f32>(s2), 8)
    store<f32>(into, load<f32>(s3), 12)
    into += packRow
    s0 += 4
    s1 += 4
    s2 += 4
    s3 += 4
  }
}
