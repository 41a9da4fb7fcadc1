// What bun's JUnit reports say.

/** What is said of one failure where the whole output is cut: enough to know it again. */
const MESSAGE_CHARACTERS = 200

export interface Summary {
  readonly tests: number
  readonly failures: number
  /** `file: name` of each. */
  readonly skipped: readonly string[]
  /** `file:line: name: message` of each. */
  readonly failed: readonly string[]
}

/** The figures of one report, the names of the skipped tests in it, and the failed ones with what they said. */
export function summary(xml: string): Summary {
  const totals = /<testsuites [^>]*>/.exec(xml)?.[0] ?? ""
  const total = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(totals)?.[1] ?? 0)
  const skipped = [...xml.matchAll(/<testcase name="([^"]*)"[^>]* file="([^"]*)"[^>]*>\s*<skipped/g)]
  const failed = [
    ...xml.matchAll(/<testcase name="([^"]*)"[^>]* file="([^"]*)" line="(\d+)"[^>]*>\s*(<failure[^>]*)/g),
  ]
  return {
    tests: total("tests"),
    failures: total("failures"),
    skipped: skipped.map(([, name = "", file = ""]) => `${file}: ${plain(name)}`),
    failed: failed.map(([, name = "", file = "", line = "", failure = ""]) => {
      const message = plain(/ message="([^"]*)"/.exec(failure)?.[1] ?? "").replace(/\s+/g, " ")
      return `${file}:${line}: ${plain(name)}: ${message.slice(0, MESSAGE_CHARACTERS)}`
    }),
  }
}

function plain(text: string): string {
  const entities: Record<string, string> = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&apos;": "'",
    "&amp;": "&",
    "&#10;": "\n",
  }
  return text.replace(/&(?:lt|gt|quot|apos|amp|#10);/g, (entity) => entities[entity] ?? entity)
}
