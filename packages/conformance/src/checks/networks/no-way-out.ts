import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { answers, linuxOf, output } from "../linux/stage.ts"
import type { Plan } from "../runtime/plan.ts"
import { type Hosted, onItsHost } from "./stage.ts"

const GUEST_PORT = 7070

/** The host of a world has nothing but its loopback from here on. */
function cut({ world }: Hosted): void {
  world.host.ip("link delete near")
}

/** A warning of the second machine that the first one, which has a way out, does not have. */
function mustWarn(open: Instance, alone: Instance): void {
  const told = alone.warnings.some((words) => !open.warnings.includes(words))
  // One of a runtime that lets nobody out says so on either host.
  must(
    told || (open.network?.outbound === false && alone.warnings.length > 0),
    "no warning says that a host has no way out",
  )
}

export const noWayOutPlans: readonly Plan[] = [
  {
    name: "networks/no-way-out",
    covers: ["OVMS-MAN-112"],
    run: (scene) =>
      onItsHost(scene, async (hosted) => {
        const { runtime, boot } = hosted
        const network = { mode: "user", ports: [{ guest: GUEST_PORT }] }
        const open = await runtime.status(await boot("", { network }))
        // Out by IPv6 alone.
        hosted.world.host.ip("route delete default")
        await boot("", { network })
        cut(hosted)
        const alone = await runtime.status(await boot("", { network }))
        must(alone.network?.mode === "user", `the mode is ${alone.network?.mode} on a host without a way out`)
        must(alone.network.ports?.length === 1, "a port is not listed on a host without a way out")
        mustWarn(open, alone)
      }),
  },
  {
    name: "linux/networks/no-way-out",
    profile: "agent",
    slow: true,
    covers: ["OVMS-MAN-112", "OVMS-MAN-105"],
    run: async (scene) => {
      const manifest = await linuxOf(scene)
      await onItsHost(scene, async (hosted) => {
        cut(hosted)
        const { runtime, world, start } = hosted
        const network = { mode: "user", ports: [{ guest: GUEST_PORT }] }
        const id = await start({ manifest, overrides: { agent: true, network } })
        await answers(runtime, id)
        const linux = { runtime, id }
        await runtime.until("a guest has an address on a host without a way out", async () =>
          /^\d+: (?!lo\b)\S+\s+inet /m.test(await output(linux, "ip -o addr show")),
        )
        await output(
          linux,
          `nc -ll -p ${GUEST_PORT} -e echo suite >/dev/null 2>&1 </dev/null &
          until netstat -lnt | grep -q :${GUEST_PORT}; do sleep 0.1; done`,
        )
        const { ports = [] } = (await runtime.status(id)).network ?? {}
        const port = ports[0]?.host ?? 0
        const heard = () => world.host.peer().ask("127.0.0.1", port)
        await runtime.until(
          "a port leads into a guest on a host without a way out",
          async () => (await heard()) === "suite\n",
        )
      })
    },
  },
]
