import type { Check } from "../../check.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { containerImports } from "./container.ts"
import { containerFiles } from "./container-files.ts"
import { diskImports } from "./disks.ts"
import { exports } from "./exports.ts"
import { holes } from "./holes.ts"
import { ovaImports } from "./ova.ts"
import { packages } from "./packages.ts"
import { registryImports } from "./registry.ts"

/** How machines of other programs come in, and go out. */
export const importChecks: readonly Check<Wrapper>[] = [
  ...diskImports,
  ...holes,
  ...ovaImports,
  ...registryImports,
  ...containerImports,
  ...containerFiles,
  ...exports,
  ...packages,
]
