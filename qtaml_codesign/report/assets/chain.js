"use strict";
// Oxide thickness and inference window to ln p_flip: the numbers of physics/portable.py, read.
const chain = (() => {
  const unit = (x, low, high) => (2 * x - low - high) / (high - low);

  // sum_i c_i T_i(u), by Clenshaw's recurrence
  const series = (c, u) => {
    let one = 0, two = 0;
    for (let i = c.length - 1; i > 0; i--) [one, two] = [2 * u * one - two + c[i], one];
    return u * one - two + c[0];
  };

  // ln(1 - e^x), x <= 0
  const log1mexp = (x) => (x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x)));

  // ln P(K > k), K ~ Binomial(n, 1 - e^-x): the sum of the side on which its terms fall from the first on
  const logTail = (logX, n, k, logChoose) => {
    const x = Math.exp(logX), j = k + 1;
    const logP = logX < -36 ? logX : log1mexp(-x), odds = Math.expm1(x);
    const logMass = logChoose + j * logP - (n - j) * x;  // ln P(K = j)
    if (j > n * -Math.expm1(-x)) {
      let term = 1, sum = 1;
      for (let i = j; i < n && term > 1e-17 * sum; i++) sum += term *= ((n - i) / (i + 1)) * odds;
      return Math.min(0, logMass + Math.log(sum));
    }
    let term = 1, sum = 0;
    for (let i = j; i > 0 && (i === j || term > 1e-17 * sum); i--) sum += term *= i / (n - i + 1) / odds;
    return log1mexp(Math.min(logMass + Math.log(sum), -1e-300));
  };

  // A law: logFlip(nm, s), and the thickness at which ln p_flip reaches a value
  const law = (told) => {
    const [low, high] = told.ends_nm;
    const across = (nm) => unit(nm, low, high);
    let logFlip;
    if (told.table) {
      const [first, last] = told.ends_s.map(Math.log);
      let kept = NaN, along = [];
      logFlip = (nm, s) => {
        if (s !== kept) [kept, along] = [s, told.table.map((row) => series(row, unit(Math.log(s), first, last)))];
        return Math.min(0, series(along, across(nm)));
      };
    } else {
      logFlip = (nm, s) => logTail(Math.log(s) + series(told.rate, across(nm)), told.electrons, told.flip_threshold,
        told.log_choose);
    }
    // p falls with thickness: halve until nothing is left between; null where it is not reached
    const thickness = (logP, s) => {
      let [thin, thick] = [low, high];
      if (!(logFlip(thin, s) >= logP && logFlip(thick, s) <= logP)) return null;
      for (let i = 0; i < 60 && thick - thin > 1e-12; i++) {
        const middle = 0.5 * (thin + thick);
        if (logFlip(middle, s) > logP) thin = middle; else thick = middle;
      }
      return 0.5 * (thin + thick);
    };
    return { logFlip, thickness };
  };

  return { law, logTail, series };
})();
