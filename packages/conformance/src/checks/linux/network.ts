import { createConnection, createServer, type Server } from "node:net"
import { networkInterfaces } from "node:os"
import { must } from "../../check.ts"
import { inside, type Linux, output } from "./stage.ts"

/** Of the guest, to which a port of the host leads. */
export const PORT = 7070

/** Counts who comes, at all addresses of this host. */
async function listening(): Promise<{ server: Server; port: number; came: () => number }> {
  let count = 0
  const server = createServer((socket) => {
    count++
    socket.on("error", () => {}).end("a service of the host\n")
  })
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve))
  return { server, port: (server.address() as { port: number }).port, came: () => count }
}

/** What whoever connects to a port of this host's loopback is told within a moment. */
function told(port: number): Promise<string> {
  return new Promise((resolve) => {
    let heard = ""
    const socket = createConnection({ port, host: "127.0.0.1" })
    const end = () => {
      clearTimeout(timer)
      socket.destroy()
      resolve(heard)
    }
    const timer = setTimeout(end, 3000)
    socket.on("data", (bytes) => {
      heard += bytes
    })
    socket.on("error", end).on("close", end)
  })
}

/** The interface of a machine of mode `user` is one of virtio, and gets its address by DHCP. */
export async function hasAnAddress({ runtime, ...linux }: Linux): Promise<{ nic: string; gateway: string }> {
  const found = await runtime.until("the Linux has an address", async () => {
    const said = await inside({ runtime, ...linux }, "ip -4 -o addr show; ip route")
    const [, nic] = /^\d+: (?!lo\b)(\S+)\s+inet [\d.]+\//m.exec(said.stdout) ?? []
    const [, gateway] = /^default via ([\d.]+)/m.exec(said.stdout) ?? []
    return nic !== undefined && gateway !== undefined && { nic, gateway }
  })
  const driver = await output({ runtime, ...linux }, `readlink /sys/class/net/${found.nic}/device/driver`)
  must(driver.endsWith("/virtio_net"), `its interface is driven by ${driver}, and is none of virtio`)
  return found
}

/** Neither the host's loopback nor anything that is not public can be reached; whoever comes by a port is answered. */
export async function reachesNothing(linux: Linux, gateway: string): Promise<void> {
  const { runtime, id } = linux
  const { server, port, came } = await listening()
  try {
    const own = Object.values(networkInterfaces()).flatMap((all = []) => all)
    const addresses = own.filter(({ family }) => family === "IPv4").map(({ address }) => address)
    const all = [...new Set([gateway, ...addresses, "169.254.169.254", "10.255.255.1"])]
    const tries = all.map((address) => `nc -w 2 ${address} ${port} </dev/null >>/suite-heard 2>/dev/null &`)
    const heard = await output(linux, `: >/suite-heard; ${tries.join(" ")} wait; cat /suite-heard`)
    must(came() === 0 && heard === "", `the guest has reached a service of the host: ${heard}`)
  } finally {
    server.close()
  }
  await inside(
    linux,
    `(while :; do echo of the guest | nc -l -p ${PORT}; done) >/dev/null 2>&1 </dev/null & sleep 0.2`,
  )
  const host = (await runtime.status(id)).network?.ports?.[0]?.host ?? 0
  await runtime.until("the guest answers by its port", async () =>
    (await told(host)).includes("of the guest"),
  )
}

/** What comes from another MAC address than the interface's is dropped. */
export async function speaksForItself(linux: Linux, nic: string): Promise<void> {
  const { runtime, id } = linux
  const { mac, ports } = (await runtime.status(id)).network ?? {}
  const host = ports?.[0]?.host ?? 0
  const as = (address: string) =>
    output(
      linux,
      `a=$(ip -4 -o addr show ${nic} | awk '{print $4}'); r=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')
      ip link set ${nic} down; ip link set ${nic} address ${address}; ip link set ${nic} up
      ip addr add $a dev ${nic} 2>/dev/null; ip route add default via $r dev ${nic} 2>/dev/null; true`,
    )
  await as("02:00:00:00:00:99")
  must(!(await told(host)).includes("of the guest"), "what comes from another MAC address is passed on")
  await as(mac ?? "")
  await runtime.until("the guest answers again", async () => (await told(host)).includes("of the guest"))
}
