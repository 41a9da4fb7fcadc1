import { fail, must, skip } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import type { Runtime } from "../../subject/runtime.ts"
import { World } from "../../world/world.ts"
import { aside } from "../runtime/aside.ts"
import { harnessOf, type Scene } from "../runtime/plan.ts"

export const MAKE = "POST /networks"
export const REMOVE = "DELETE /networks/{name}"

export interface Shared {
  readonly name: string
  readonly subnet: string
  readonly gateway: string
  readonly ipv6_subnet?: string
  readonly ipv6_gateway?: string
  readonly interface: string
  readonly degraded: boolean
  readonly instances: readonly { readonly instance_id: string; readonly address: string }[]
}

/** A runtime on the host of a world. */
export interface Hosted extends Scene {
  readonly world: World
}

/** Has a runtime on the host of a world; skips where there is no world, or the runtime makes no networks in one. */
export async function onItsHost(scene: Scene, use: (hosted: Hosted) => Promise<void>): Promise<void> {
  harnessOf(scene.runtime)
  await World.during((world) => aside(scene, (own) => use({ ...own, world }), {}, world.before))
}

/** The network that it makes of a request; skips where it makes none on such a host, and says why. */
export async function made(runtime: Runtime, request: object): Promise<Shared> {
  const reply = await runtime.raw("POST", "/networks", { body: request })
  if (reply.status >= 400) {
    const { code, message } = errorOf(MAKE, reply)
    // Who is root in its own namespaces alone may not do all that root may.
    const mayNot = process.getuid?.() !== 0 && code === "OVM_HOST_FAILED"
    if (mayNot || code === "OVM_PERMISSION_DENIED" || code === "OVM_UNSUPPORTED")
      skip(`the runtime makes no networks on a host of the suite's own: ${message}`)
    fail(`${MAKE} was refused with ${code}: ${message}`)
  }
  return await runtime.ask("GET /networks").then((all) => named(all, request))
}

/** As it is listed just now. */
export async function listed(runtime: Runtime, { name }: Pick<Shared, "name">): Promise<Shared> {
  return named(await runtime.ask("GET /networks"), { name })
}

function named(answer: unknown, request: object): Shared {
  const { networks } = answer as { networks: readonly Shared[] }
  const { name } = request as { name: string }
  return networks.find((one) => one.name === name) ?? fail(`the network ${name} is not listed`)
}

/** What the kernel says of a moment. */
const PASSING = /<\S*>|\bstate \w+|\b(valid|preferred)_lft \S+|\b(tentative|linkdown|dead)\b/g

/** All that a host has of networks, but for times, and whether it forwards at all, which is no network's own. */
export function hostState({ host }: World): string {
  const looks = [
    ["ip", "-o", "link"],
    ["ip", "-o", "addr"],
    ["ip", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["ip", "rule"],
    ["sh", "-c", "nft list tables 2>/dev/null; iptables-save 2>/dev/null | grep -v '^#'; true"],
  ]
  const all = looks.map((command) => host.run(...command)).join("\n")
  return all
    .replace(/^anycast .*\n/gm, "")
    .replace(PASSING, "")
    .replace(/[ \\]+$/gm, "")
    .replace(/ +/g, " ")
}

/** Fails with `words`, and what differs, unless the host is as it was. */
export function mustBeAsBefore(world: World, before: string, words: string): void {
  const [was, is] = [before, hostState(world)].map((text) => text.split("\n")) as [string[], string[]]
  const gone = was.filter((line) => !is.includes(line)).map((line) => `- ${line.trim()}`)
  const come = is.filter((line) => !was.includes(line)).map((line) => `+ ${line.trim()}`)
  must(gone.length + come.length === 0, `${words}: ${[...gone, ...come].join("; ").slice(0, 500)}`)
}

/** The interfaces of the host, by name. */
export function interfaces({ host }: World): readonly string[] {
  return [...host.run("ip", "-o", "link").matchAll(/^\d+: ([^:@]+)/gm)].map(([, name = ""]) => name)
}
