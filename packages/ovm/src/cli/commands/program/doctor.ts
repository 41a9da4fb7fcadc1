import type { Command } from "commander"
import { paths } from "../../../host/paths.ts"
import { checkDaemon } from "../../doctor/daemon.ts"
import type { Finding } from "../../doctor/finding.ts"
import { checkHost } from "../../doctor/host.ts"
import { checkNetworks, checkPasst } from "../../doctor/network.ts"
import { checkPlace } from "../../doctor/place.ts"
import { checkSettings } from "../../doctor/settings.ts"
import { checkVmms } from "../../doctor/vmm.ts"
import { endWith } from "../../failure.ts"
import { printJson } from "../../output.ts"
import { examples } from "../../terminal/examples.ts"
import { printListing } from "../../terminal/lines.ts"

interface DoctorOptions {
  readonly json?: boolean
}

/** Something will not work (spec/errors.md). */
const FAILED = 1

export function define(command: Command): void {
  command
    .description(
      "Find out what is missing on this host, or slow, and say what mends it. Nothing is started, and nothing " +
        "removed. Ends with status 1 if something will not work.",
    )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm doctor", "ovm doctor --json | jq '.findings[] | select(.state != \"ok\")'")
}

async function run(options: DoctorOptions): Promise<void> {
  const place = paths()
  const findings = (
    await Promise.all([
      checkVmms(place),
      checkPasst(),
      checkNetworks(),
      checkPlace(place.root),
      checkHost(),
      checkSettings(place),
      checkDaemon(),
    ])
  ).flat()
  if (options.json) printJson({ findings })
  else printListing(findings.flatMap(lines))
  if (findings.some(({ state }) => state === "failure")) endWith(FAILED)
}

function lines({ check, state, message, fix }: Finding): [string, string][] {
  const said: [string, string] = [state, `${check}: ${message}`]
  return fix === undefined ? [said] : [said, ["", `to mend it: ${fix}`]]
}
