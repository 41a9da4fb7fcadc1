import { type Run, tallyOf } from "../result.ts"
import { escaped } from "./escape.ts"

/** JUnit's XML, as build servers read it: one suite, a case a check. */
export function junitReport(run: Run): string {
  const { fail, skip, error } = tallyOf(run.results)
  const counts = `tests="${run.results.length}" failures="${fail}" skipped="${skip}" errors="${error}"`
  const cases = run.results.map(({ name, profile, verdict, reason = "", milliseconds }) => {
    const open = `<testcase classname="ovms.${profile}" name="${escaped(name)}" time="${milliseconds / 1000}"`
    if (verdict === "pass") return `  ${open}/>`
    const element = { fail: "failure", skip: "skipped", error: "error" }[verdict]
    return `  ${open}><${element} message="${escaped(reason)}"/></testcase>`
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuite name="${escaped(`ovms-conformance ${run.kind} ${run.subject}`)}" ${counts} time="${run.milliseconds / 1000}" timestamp="${run.started}">`,
    ...cases,
    "</testsuite>",
    "",
  ].join("\n")
}
