import spec from "@ovms/spec/package.json" with { type: "json" }
import own from "../package.json" with { type: "json" }

/** The version of the specification, without what corrects its words alone. */
export const SPECIFICATION = spec.version.replace(/^(\d+\.\d+)\..*$/, "$1")
export const SUITE = own.version
