/** The style sheet of a comparison's page: its own alone, for wide and narrow windows, in light and dark. */

/** Colours of a block of an error map: errors in multiples of what is allowed, each level up to its limit. */
export const LEVELS: readonly { limit: number; name: string; light: string; dark: string }[] = [
  { limit: 0, name: 'exact', light: '#e9eef4', dark: '#1d2530' },
  { limit: 0.1, name: '≤ 0.1', light: '#cfdceb', dark: '#253a55' },
  { limit: 1, name: '≤ 1', light: '#9fbfe0', dark: '#2f5687' },
  { limit: 10, name: '≤ 10', light: '#fbd27a', dark: '#8a6410' },
  { limit: 1e3, name: '≤ 1000', light: '#f0913c', dark: '#c4691c' },
  { limit: 1e6, name: '≤ 10⁶', light: '#d8432f', dark: '#e2503c' },
  { limit: Number.MAX_VALUE, name: '> 10⁶', light: '#98123f', dark: '#ff7d9c' },
  { limit: Number.POSITIVE_INFINITY, name: 'NaN, ∞', light: '#3b0a45', dark: '#e7b3ff' },
]

const colours = (theme: 'light' | 'dark') =>
  LEVELS.map((level, at) => `.e${at}{fill:${level[theme]};background:${level[theme]}}`).join('')

export const STYLE = `
:root{color-scheme:light dark;--ink:#17202b;--quiet:#526071;--paper:#fff;--panel:#f5f7fa;--line:#d7dde5;--pass:#14663a;--fail:#a81c1c;--tint-pass:#e2f3e8;--tint-fail:#fbe5e3}
${colours('light')}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf1;--quiet:#a3b0bf;--paper:#10151b;--panel:#18202a;--line:#303b48;--pass:#7fd6a0;--fail:#ff9b91;--tint-pass:#123322;--tint-fail:#431b1b}
${colours('dark')}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1.25rem 3rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.15rem;margin:2.25rem 0 .6rem}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:.35rem 0}
code,.n{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.875em}
.quiet{color:var(--quiet);font-size:.9rem}
.pass{color:var(--pass)}.fail{color:var(--fail)}
.badge{display:inline-block;padding:.1em .6em;border-radius:.4em;font-weight:700;margin-right:.35em}
.badge.pass{background:var(--tint-pass)}.badge.fail{background:var(--tint-fail)}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%}
th,td{padding:.4rem .65rem;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
thead th{border-top:0;background:var(--panel);font-size:.85rem;color:var(--quiet);font-weight:600}
th:first-child,td:first-child,tbody th{text-align:left}
ol{margin:.5rem 0;padding:0;list-style:none}
ol.why>li{border:1px solid var(--line);border-left:.3rem solid var(--fail);border-radius:.5rem;padding:.7rem .9rem;margin:.6rem 0;background:var(--panel)}
.says{font-weight:600}
pre{margin:.4rem 0 0;padding:.5rem .7rem;background:var(--paper);border:1px solid var(--line);border-radius:.4rem;white-space:pre-wrap}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.8rem}
figure{margin:0;border:1px solid var(--line);border-radius:.5rem;padding:.5rem;background:var(--panel)}
figure.bad{border-color:var(--fail)}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .5rem;font-size:.85rem;margin-bottom:.35rem}
svg{display:block;width:100%;height:8rem;background:var(--paper)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem .9rem;margin:.4rem 0 .8rem;font-size:.85rem}
.legend span{display:inline-flex;align-items:center;gap:.35rem}
.legend i{width:1rem;height:1rem;border-radius:.2rem;border:1px solid var(--line)}
@media (max-width:44rem){body{padding:1rem .9rem 2rem}
.maps{grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr))}svg{height:6.5rem}
table.cards thead{display:none}table.cards tr{display:block;padding:.5rem .75rem;border-top:1px solid var(--line)}table.cards tr:first-child{border-top:0}
table.cards th,table.cards td{display:flex;justify-content:space-between;gap:1rem;border:0;padding:.1rem 0;white-space:normal;text-align:right}
table.cards td::before{content:attr(data-name);color:var(--quiet)}}
@media print{.wide{overflow:visible}}
`
