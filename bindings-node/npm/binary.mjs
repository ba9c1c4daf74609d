/** Of which platform a binary is, by what it says itself: a musl package has held a glibc binary before, elsewhere. */

import { readFileSync } from 'node:fs';

const ELF = { 62: 'x64', 183: 'arm64' };
const MACH_O = { 16777223: 'x64', 16777228: 'arm64' };
const PE = { 34404: 'x64', 43620: 'arm64' };
/** What docs/packages.md promises of published packages. */
const GLIBC_MINOR = 17;

/** Its platform as packages are called, `linux-x64-gnu`; of a glibc one also the newest glibc that it asks for, 2.`minor`. */
export function platformOf(bytes) {
  if (bytes.toString('latin1', 0, 4) === '\x7fELF') {
    const versions = [...bytes.toString('latin1').matchAll(/\bGLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
    const libc = versions.length > 0 ? 'gnu' : 'musl';
    return { name: `linux-${ELF[bytes.readUInt16LE(18)]}-${libc}`, minor: Math.max(0, ...versions) };
  }
  if (bytes.readUInt32LE(0) === 0xfeedfacf) return { name: `darwin-${MACH_O[bytes.readUInt32LE(4)]}`, minor: 0 };
  if (bytes.toString('latin1', 0, 2) === 'MZ') {
    return { name: `win32-${PE[bytes.readUInt16LE(bytes.readUInt32LE(60) + 4)]}-msvc`, minor: 0 };
  }
  return { name: 'unknown', minor: 0 };
}

/** Throws where a file is not for this platform, or, `forAll`, asks for a newer glibc than was promised. */
export function checked(file, platform, forAll) {
  const { name, minor } = platformOf(readFileSync(file));
  if (name !== platform) throw new Error(`${file} is for ${name}, not for ${platform}`);
  if (forAll && minor > GLIBC_MINOR)
    throw new Error(`${file} asks for glibc 2.${minor}; 2.${GLIBC_MINOR} was promised`);
}
