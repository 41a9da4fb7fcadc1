import { expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { connect } from "@ovms/client"
import { SERVER, serverMissing } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// Lane: first. A Debian server is booted once.
// Half a minute of an emulated CPU, and as much for cloud-init: on a busy host many times that.
const BOOT_MS = 1_200_000
/** What one request may wait at most. */
const WAIT_MS = 600_000
setDefaultTimeout(2 * BOOT_MS)

// The agent as a service of systemd, which a cloud image gets at its first boot, and a clone of such a server.

const skip = await serverMissing()
if (skip) console.log(`SKIP packages/ovm/test/agent-service.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "a cloud image has an agent by its first boot, which comes back when it is killed, and renews its clones [OVMS-FBC-015, OVMS-FBC-016, OVMS-AGT-015]",
  async () => {
    await using box = await Sandbox.create()
    const inside = (name: string, script: string) =>
      box.ok(["exec", "--wait", "600", name, "sh", "-c", script])
    await box.ok(["pack", "-f", SERVER, "-t", "server:12"])
    const { instance_id: id } = await box.json([
      "run",
      "-d",
      "--agent",
      "--name",
      "web",
      "--ssh",
      "server:12",
    ])
    const runtime = connect(join(box.home, "ovm.sock"))
    const ready = () => runtime.ready(id, { timeoutMs: WAIT_MS }).then(() => true, String)
    await until("its agent", ready, { is: (said) => said === true, deadlineMs: BOOT_MS - WAIT_MS })
    expect(
      await inside("web", "cat /proc/1/comm; systemctl is-enabled ovm-agent; systemctl is-active ovm-agent"),
    ).toBe("systemd\nenabled\nactive")
    // What else the guest was told was heard as well.
    expect(await inside("web", "id -un ovm")).toBe("ovm")
    // What runs when the agent goes is lost, and that is said; another one is there at once.
    const cut = await box.ovm(["exec", "web", "sh", "-c", "kill -KILL $PPID; sleep 600"])
    expect(cut).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_AGENT_UNAVAILABLE") })
    expect(await inside("web", "echo again")).toBe("again")
    await inside("web", "mkdir -p /etc/ovm; echo machine-id hostname >/etc/ovm/renew")
    await box.ok(["snapshot", "web", "--tag", "warm", "--freeze"])
    await box.ok(["run", "-d", "--name", "clone", "server:warm"])
    const [hostname, machineId] = (await inside("clone", "hostname; cat /etc/machine-id")).split("\n")
    expect(hostname).toBe("clone")
    expect(machineId).not.toBe(await inside("web", "cat /etc/machine-id"))
    expect(await inside("clone", "cat /etc/hostname; echo written >/root/written; cat /root/written")).toBe(
      "clone\nwritten",
    )
  },
)
