import { expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// The layouts of spec/vectors/layouts, read by the program as anybody would and by nothing that has made them.
setDefaultTimeout(120_000)

const ROOT = resolve(import.meta.dir, "../../../spec/vectors/layouts")
const ORAS = resolve(import.meta.dir, "../../../.cache/peers/bin/oras")

interface Listed {
  readonly layout: string
  readonly digest: string
  readonly config?: string
  readonly layers?: readonly string[]
  readonly evidence?: readonly string[]
}
const list: readonly Listed[] = JSON.parse(readFileSync(join(ROOT, "layouts.json"), "utf8"))

test("each blob has the digest that it is called by, and each layout what is said of it", async () => {
  expect(list.map(({ layout }) => layout)).toEqual([
    ...["machine", "snapshot", "snapshot-of-a-clone", "signed", "attested", "index"],
  ])
  await using box = await Sandbox.create()
  for (const { layout, digest, config, layers, evidence = [] } of list) {
    const blobs = join(ROOT, layout, "blobs/sha256")
    for (const name of readdirSync(blobs))
      expect(
        createHash("sha256")
          .update(readFileSync(join(blobs, name)))
          .digest("hex"),
      ).toBe(name)
    const { manifests } = JSON.parse(readFileSync(join(ROOT, layout, "index.json"), "utf8"))
    expect(manifests.map(({ digest }: { digest: string }) => digest)).toEqual([digest, ...evidence])
    const oci = JSON.parse(readFileSync(join(blobs, digest.slice("sha256:".length)), "utf8"))
    expect(oci.config?.digest).toBe(config)
    expect(oci.layers?.map(({ digest }: { digest: string }) => digest)).toEqual(layers)
    expect(await box.ok(["validate", join(ROOT, layout)])).toContain("valid")
  }
})

test("signature and provenance are those of the golden key", async () => {
  await using box = await Sandbox.create()
  const key = ["--key", join(ROOT, "golden.pub")]
  for (const layout of ["signed", "attested"]) await box.ok(["verify", ...key, join(ROOT, layout)])
  await box.ok(["verify", ...key, "--type", "slsaprovenance1", join(ROOT, "attested")])
  expect((await box.ovm(["verify", ...key, join(ROOT, "machine")])).status).not.toBe(0)
})

const skipOras = existsSync(ORAS) ? "" : "(skipped: oras is not installed)"
if (skipOras) console.log(`SKIP packages/ovm/test/golden.test.ts: ${skipOras}`)
test.skipIf(Boolean(skipOras))(`oras reads them as they are ${skipOras}`, async () => {
  await using box = await Sandbox.create()
  for (const { layout, digest } of list)
    expect(await box.shell(`${ORAS} resolve --oci-layout ${join(ROOT, layout)}:1`)).toMatchObject({
      stdout: `${digest}\n`,
    })
})

if (guestMissing) console.log(`SKIP packages/ovm/test/golden.test.ts: ${guestMissing}`)
test.skipIf(Boolean(guestMissing))(
  `the machine boots, and has its second layer ${guestMissing}`,
  async () => {
    await using box = await Sandbox.create()
    await box.ok(["run", "--detach", "--name", "golden", join(ROOT, "machine")])
    const logs = await until("its ticks", () => box.ok(["logs", "golden"]), {
      is: (text) => text.includes("TICK 1"),
    })
    expect(logs).toContain("SECTOR 8 [cluster 1 of the second layer")
    await box.ok(["rm", "--force", "golden"])
  },
)
