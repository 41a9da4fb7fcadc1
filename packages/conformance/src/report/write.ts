import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { isPassed, passedProfiles, type Run } from "../result.ts"
import { badge } from "./badge.ts"
import { htmlReport } from "./html.ts"
import { junitReport } from "./junit.ts"
import { textReport } from "./text.ts"

/** Writes every form of the report into `folder`, and a badge for each profile. */
export async function writeReports(run: Run, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const files: Record<string, string> = {
    "report.txt": textReport(run, true),
    "report.json": jsonReport(run),
    "report.xml": junitReport(run),
    "report.html": htmlReport(run),
  }
  for (const [profile, tally] of passedProfiles(run.results)) {
    const passed = isPassed(tally)
    files[`${profile}.svg`] = badge(
      `OVMS ${run.specification} ${profile}`,
      passed ? "passed" : "not passed",
      passed,
    )
  }
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content)
}

export function jsonReport(run: Run): string {
  return `${JSON.stringify(run, undefined, 2)}\n`
}
