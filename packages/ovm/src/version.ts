import { version } from "../package.json" with { type: "json" }

/** The release of this implementation; the specification is versioned apart from it. */
export const VERSION: string = version
