/**
 * What a client needs of Node: local files, and the profile files of the official clients.
 *
 * @since 0.1.0
 */
export * as LocalFileError from "./LocalFileError.js"
export * as LocalFiles from "./LocalFiles.js"
export * as NodeHasher from "./NodeHasher.js"
export * as ProfileFile from "./ProfileFile.js"
