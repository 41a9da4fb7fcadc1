import { rmSync } from "node:fs"
import { join } from "node:path"
import { findings } from "./check.ts"
import { AGENT_SOCKET, commandLine, OWN_FILES } from "./command-line.ts"
import type { Request } from "./contract.ts"
import { endOf } from "./end.ts"
import { Machine } from "./machine.ts"
import { START_MS } from "./monitor.ts"
import { ACCELERATORS, qemu, versionOf } from "./qemu.ts"

/** What is answered to each verb of the contract. */
export const VERBS: Readonly<Record<string, (request: Request) => Promise<object>>> = {
  capabilities: async () => ({
    version: await versionOf(qemu()),
    binary: qemu(),
    accelerator: "tcg",
    acceleratorReason: "this adapter emulates",
    accelerators: ACCELERATORS,
  }),
  check: async ({ plan }) => ({ findings: findings(plan) }),
  prepare: async ({ plan }) => {
    for (const name of OWN_FILES) rmSync(join(plan.directory, name), { force: true })
    return { argv: [qemu(), ...commandLine(plan)], ...(plan.agent && { agent: AGENT_SOCKET }) }
  },
  start: async ({ directory }) => (await Machine.in(directory, START_MS)).start(),
  watch: async ({ directory }) => (await Machine.in(directory)).watch(),
  pause: async ({ directory }) => (await Machine.in(directory)).execute("stop"),
  resume: async ({ directory }) => (await Machine.in(directory)).go(),
  press: async ({ directory }) => (await Machine.in(directory)).press(),
  quit: async ({ directory }) => (await Machine.in(directory)).execute("quit"),
  ended: async ({ directory, status }) => endOf(directory, status),
}
