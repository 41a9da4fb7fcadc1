import { PROFILES } from "../check.ts"
import { isPassed, passedProfiles, type Result, type Run, tallyOf } from "../result.ts"

/** A table of profiles, with everything that is no pass below it; or with `all`, each check. */
export function textReport(run: Run, all = false): string {
  const profiles = passedProfiles(run.results)
  const rows = PROFILES.flatMap((profile) => {
    const tally = profiles.get(profile)
    if (!tally) return []
    const numbers = [tally.pass, tally.fail, tally.skip, tally.error].map((number) =>
      String(number).padStart(6),
    )
    return `${profile.padEnd(10)}${numbers.join("")}  ${isPassed(tally) ? "passed" : "not passed"}`
  })
  const { pass, fail, skip, error } = tallyOf(run.results)
  return [
    `${run.kind} ${run.subject}: OVMS ${run.specification}, suite ${run.suite}`,
    "",
    `${"profile".padEnd(10)}${["pass", "fail", "skip", "error"].map((word) => word.padStart(6)).join("")}`,
    ...rows,
    "",
    ...(all
      ? run.results.map(line)
      : [
          ...run.results.filter(({ verdict }) => verdict === "fail" || verdict === "error").map(line),
          ...skips(run.results),
        ]),
    `${pass} passed, ${fail} failed, ${skip} skipped, ${error} errors in ${(run.milliseconds / 1000).toFixed(1)} s`,
    "",
  ].join("\n")
}

/** One result on one line. */
export function line({ verdict, name, covers, reason = "" }: Result): string {
  const ids = covers.length > 0 ? ` [${covers.join(" ")}]` : ""
  const why = reason === "" ? "" : `: ${reason.replace(/\s+/g, " ").slice(0, 500)}`
  return `${verdict.toUpperCase().padEnd(5)} ${name}${ids}${why}`
}

/** One line a reason: a hundred vectors that a wrapper does not take are one fact. */
function skips(results: readonly Result[]): string[] {
  const reasons = new Map<string, Result[]>()
  for (const result of results)
    if (result.verdict === "skip") {
      const reason = result.reason ?? ""
      reasons.set(reason, [...(reasons.get(reason) ?? []), result])
    }
  return [...reasons].map(([reason, [first, ...more]]) => {
    const others = more.length > 0 ? ` and ${more.length} more` : ""
    return `SKIP  ${first?.name}${others}: ${reason}`
  })
}
