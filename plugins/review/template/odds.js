// Duels: how able each of several is, from which of two won (Bradley and Terry, 1952).

// Log abilities, of mean 0. `wins[i][j]` is how often i won against j, `prior` a gamma prior's (Caron and Doucet, 2012):
// without one, who never lost would be infinitely able.
function abilities(wins, prior, near = 1e-9) {
  const won = wins.map(total);
  let log = wins.map(() => 0);
  for (let round = 0; round < 500; round++) {
    const raw = log.map(Math.exp);
    const at = raw.map((one) => (one * raw.length) / total(raw)); // the prior has a scale: they add up to their number
    const next = wins.map((row, i) => {
      const met = row.reduce((sum, _, j) => (i === j ? sum : sum + (wins[i][j] + wins[j][i]) / (at[i] + at[j])), 0);
      return Math.log((won[i] + prior) / (met + prior));
    });
    const mean = total(next) / next.length;
    const moved = next.map((one) => one - mean);
    const step = Math.max(...moved.map((one, i) => Math.abs(one - log[i])));
    log = moved;
    if (step < near) break;
  }
  return log;
}

// How likely each is the best, and the middle and 95 % interval of how often it wins against the others, by a Bayesian
// bootstrap (Rubin, 1981): each duel, and one win each way between any two that nobody saw, weigh anew in every draw.
function bests(count, duels, draws = 400) {
  const random = mulberry(duels.length + 1);
  const first = Array(count).fill(0);
  const shares = Array.from({ length: count }, () => []);
  for (let draw = 0; draw < draws; draw++) {
    const wins = Array.from({ length: count }, (_, i) => Array.from({ length: count }, (__, j) => (i === j ? 0 : -Math.log(random()))));
    for (const { one, other, share } of duels) {
      const weight = -Math.log(random());
      wins[one][other] += weight * share;
      wins[other][one] += weight * (1 - share);
    }
    const log = abilities(wins, 0, 1e-5);
    first[log.indexOf(Math.max(...log))]++;
    log.forEach((one, i) => {
      const against = log.filter((_, j) => j !== i).map((other) => 1 / (1 + Math.exp(other - one)));
      shares[i].push(total(against) / against.length);
    });
  }
  return shares.map((found, i) => {
    const sorted = found.sort((one, other) => one - other);
    const at = (share) => sorted[Math.floor(share * (draws - 1))];
    return { best: first[i] / draws, wins: at(0.5), low: at(0.025), high: at(0.975) };
  });
}

// Random numbers above 0 that come the same again, so that what is shown does not flicker (mulberry32).
function mulberry(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 1) / 4294967297;
  };
}
