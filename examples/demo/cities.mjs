/** The slow function of `cities.py`, in JavaScript: the nearest cities, by measuring the distance to every city. */
import { createReadStream } from 'node:fs';
import { appendFile } from 'node:fs/promises';

const EARTH_KM = 6371;
const NO_ID = '0'; // of a town that was founded during the demo
const DEGREE = Math.PI / 180;

/** The nearest cities, the nearest first. Slow: it reads every city. */
export async function nearest(data, cityId, count = 5) {
  const [home, found] = [await cityOf(data, cityId), []];
  for await (const block of blocks(data)) {
    for (const [id, name, country, x, y, z] of block) {
      if (id === `${cityId}`) continue;
      const chord = (Number(x) - home.x) ** 2 + (Number(y) - home.y) ** 2 + (Number(z) - home.z) ** 2;
      if (found.length === count && chord >= found[count - 1].chord) continue;
      found.push({ name, country, chord });
      found.sort((one, other) => one.chord - other.chord);
      found.splice(count);
    }
  }
  return found.map(({ name, country, chord }) => ({ name, country, km: Math.round(km(chord) * 10) / 10 }));
}

/** Founds a new town about a kilometre north of a city. */
export async function foundTown(data, name, near) {
  const { country, x, y, z } = await cityOf(data, near);
  const [latitude, longitude] = [Math.asin(z) + 0.01 * DEGREE, Math.atan2(y, x)];
  const flat = Math.cos(latitude);
  const point = [flat * Math.cos(longitude), flat * Math.sin(longitude), Math.sin(latitude)];
  await appendFile(data, `${[NO_ID, name, country, ...point.map((number) => number.toFixed(9))].join('\t')}\n`);
}

async function cityOf(data, cityId) {
  for await (const block of blocks(data)) {
    const row = block.find(([id]) => id === `${cityId}`);
    if (row) return { country: row[2], x: Number(row[3]), y: Number(row[4]), z: Number(row[5]) };
  }
  throw new Error(`there is no city ${cityId}`);
}

/** The rows of the file, many at a time: between two blocks the process can serve others. */
async function* blocks(data) {
  let rest = '';
  for await (const chunk of createReadStream(data, 'utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    yield lines.map((line) => line.split('\t'));
  }
}

function km(chordSquared) {
  return 2 * EARTH_KM * Math.asin(Math.sqrt(chordSquared) / 2);
}
