import { PROFILES, VERDICTS } from "../check.ts"
import { isPassed, passedProfiles, type Result, type Run, tallyOf } from "../result.ts"
import { escaped } from "./escape.ts"

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --pass: #1a7f37; --fail: #b42318; --skip: #777; --error: #b35900 }
@media (prefers-color-scheme: dark) { :root { --pass: #4ac26b; --fail: #ff7b72; --skip: #999; --error: #f0a04b } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { overflow-wrap: anywhere; line-height: 1.2 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; white-space: nowrap }
.results td { overflow-wrap: anywhere } .results td:first-child { width: 30% } .results td:nth-child(2) { width: 9rem }
.results span { white-space: nowrap }
.pass { color: var(--pass) } .fail { color: var(--fail) } .skip { color: var(--skip) } .error { color: var(--error) }
code { font-size: .9em } summary { cursor: pointer; font-weight: 600; margin: 1rem 0 }
@media (max-width: 40rem) {
  th, td { padding: .3rem .2rem }
  .results tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0 }
  .results td { display: block; border: 0; padding: 0; width: auto !important }
  .results .wide { display: none }
}
@media print { details > * { display: block } }
`

/** One page that needs nothing else: no script, no font, no request. */
export function htmlReport(run: Run): string {
  const title = `OVMS ${run.specification}: ${run.kind} ${run.subject}`
  const profiles = passedProfiles(run.results)
  const rows = PROFILES.flatMap((profile) => {
    const tally = profiles.get(profile)
    if (!tally) return []
    const passed = isPassed(tally)
    const numbers = VERDICTS.map((verdict) => `<td class="n">${tally[verdict]}</td>`).join("")
    return `<tr><th scope="row">${profile}</th>${numbers}<td class="${passed ? "pass" : "fail"}">${passed ? "passed" : "not passed"}</td></tr>`
  })
  const tally = tallyOf(run.results)
  const groups = (["fail", "error", "skip", "pass"] as const).filter((verdict) => tally[verdict] > 0)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p>${escaped(run.started)} · suite ${escaped(run.suite)} · ${(run.milliseconds / 1000).toFixed(1)} s</p>
<table>
<tr><th>profile</th>${VERDICTS.map((verdict) => `<th class="n">${verdict}</th>`).join("")}<th></th></tr>
${rows.join("\n")}
</table>
${groups.map((verdict) => group(verdict, run.results)).join("\n")}
</body>
</html>
`
}

function group(verdict: Result["verdict"], results: readonly Result[]): string {
  const rows = results
    .filter((result) => result.verdict === verdict)
    .map(
      ({ name, covers, reason = "", milliseconds }) =>
        `<tr><td><code>${escaped(name)}</code></td><td>${covers.map((id) => `<span>${escaped(id)}</span>`).join(" ")}</td><td>${escaped(reason)}</td><td class="n wide">${milliseconds} ms</td></tr>`,
    )
  const open = verdict === "fail" || verdict === "error" ? " open" : ""
  return `<details${open}><summary class="${verdict}">${verdict}: ${rows.length}</summary>
<table class="results">
${rows.join("\n")}
</table>
</details>`
}
