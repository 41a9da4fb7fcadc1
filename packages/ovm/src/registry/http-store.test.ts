import { afterAll, beforeAll, describe } from "bun:test"
import { findPeer, type RegistryProgram, type RegistryServer, startRegistry } from "@ovms/testkit/registry.ts"
import { openRepository } from "@ovms/testkit/repository.ts"
import { storeSuite } from "../content/store.suite.ts"
import { parseReference } from "./reference.ts"

/**
 * One without the referrers API that answers in plain text, one with errors, one with the API; and what they cannot do.
 */
const REGISTRIES = {
  "docker-registry": {},
  distribution: {},
  "ggcr-registry": {
    "deletes a manifest with its names": "it keeps tags on their own",
    "deletes a blob": "it answers 500 for one that is absent",
  },
} as const

for (const [program, unable] of Object.entries(REGISTRIES)) {
  const missing = findPeer(program) === undefined
  if (missing) console.log(`SKIP packages/ovm/src/registry/http-store.test.ts: no ${program} (make peers)`)

  describe.skipIf(missing)(program, () => {
    let server: RegistryServer
    beforeAll(async () => {
      server = await startRegistry({ program: program as RegistryProgram })
    })
    afterAll(() => server.stop())

    storeSuite(
      program,
      async () => {
        const reference = parseReference(`${server.host}/suite/${crypto.randomUUID()}`)
        return {
          store: openRepository(reference),
          reference: (tag) => reference.withTag(tag).toString(),
          [Symbol.asyncDispose]: async () => {},
        }
      },
      unable,
    )
  })
}
