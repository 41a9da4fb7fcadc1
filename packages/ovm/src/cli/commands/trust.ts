import type { GroupedEntry } from "../command.ts"

/** What signs, verifies and says whom to believe. */
export const TRUST_COMMANDS: readonly GroupedEntry[] = [
  {
    name: "sign",
    summary: "Sign an image",
    load: () => import("./trust/sign.ts"),
  },
  {
    name: "verify",
    summary: "Verify that an image is signed or attested",
    load: () => import("./trust/verify.ts"),
  },
  {
    name: "attest",
    summary: "Say something about an image over a signature",
    load: () => import("./trust/attest.ts"),
  },
  {
    name: "key",
    summary: "Make keys that sign, and show them",
    load: () => import("./trust/key.ts"),
  },
]
