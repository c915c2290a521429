;; Element-wise loops over one memory: pointers are byte addresses, n counts f32 elements, scalars are f64.
;; Compiled into kernels-wasm.ts by scripts/build-kernels.ts.
;; Each loop takes four lanes at a time and then single elements, with the same IEEE operations in the same order,
;; so an element's bits do not depend on where it lies. Loops count n down: an end address could be 2^32.
(module
  (import "env" "memory" (memory 0))

  ;; Decoupled weight decay: w -= lr * (m / bias1) / (sqrt(v / bias2) + eps) + lr * wd * w, with g scaled by gradScale.
  (func (export "adamw")
    (param $w i32) (param $g i32) (param $m i32) (param $v i32) (param $n i32)
    (param $lr f64) (param $beta1 f64) (param $beta2 f64) (param $eps f64) (param $wd f64)
    (param $bias1 f64) (param $bias2 f64) (param $gradScale f64)
    (local $b1 f32) (local $c1 f32) (local $b2 f32) (local $c2 f32)
    (local $step f32) (local $root f32) (local $e f32) (local $decay f32) (local $gs f32)
    (local $b1v v128) (local $c1v v128) (local $b2v v128) (local $c2v v128)
    (local $stepv v128) (local $rootv v128) (local $ev v128) (local $decayv v128) (local $gsv v128)
    (local $x v128) (local $mv v128) (local $vv v128) (local $xs f32) (local $ms f32) (local $vs f32)
    ;; 1 - beta is taken in f64: from an f32 beta2 of 0.999 it would be off by 1e-5
    (local.set $b1 (f32.demote_f64 (local.get $beta1)))
    (local.set $c1 (f32.demote_f64 (f64.sub (f64.const 1) (local.get $beta1))))
    (local.set $b2 (f32.demote_f64 (local.get $beta2)))
    (local.set $c2 (f32.demote_f64 (f64.sub (f64.const 1) (local.get $beta2))))
    (local.set $step (f32.demote_f64 (f64.div (local.get $lr) (local.get $bias1))))
    (local.set $root (f32.demote_f64 (f64.div (f64.const 1) (f64.sqrt (local.get $bias2)))))
    (local.set $e (f32.demote_f64 (local.get $eps)))
    (local.set $decay (f32.demote_f64 (f64.mul (local.get $lr) (local.get $wd))))
    (local.set $gs (f32.demote_f64 (local.get $gradScale)))
    (local.set $b1v (f32x4.splat (local.get $b1)))
    (local.set $c1v (f32x4.splat (local.get $c1)))
    (local.set $b2v (f32x4.splat (local.get $b2)))
    (local.set $c2v (f32x4.splat (local.get $c2)))
    (local.set $stepv (f32x4.splat (local.get $step)))
    (local.set $rootv (f32x4.splat (local.get $root)))
    (local.set $ev (f32x4.splat (local.get $e)))
    (local.set $decayv (f32x4.splat (local.get $decay)))
    (local.set $gsv (f32x4.splat (local.get $gs)))
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (local.set $x (f32x4.mul (v128.load (local.get $g)) (local.get $gsv)))
        (local.set $mv (f32x4.add
          (f32x4.mul (v128.load (local.get $m)) (local.get $b1v))
          (f32x4.mul (local.get $x) (local.get $c1v))))
        (local.set $vv (f32x4.add
          (f32x4.mul (v128.load (local.get $v)) (local.get $b2v))
          (f32x4.mul (f32x4.mul (local.get $x) (local.get $x)) (local.get $c2v))))
        (v128.store (local.get $m) (local.get $mv))
        (v128.store (local.get $v) (local.get $vv))
        (local.set $x (v128.load (local.get $w)))
        (v128.store (local.get $w) (f32x4.sub (local.get $x) (f32x4.add
          (f32x4.div
            (f32x4.mul (local.get $mv) (local.get $stepv))
            (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $vv)) (local.get $rootv)) (local.get $ev)))
          (f32x4.mul (local.get $x) (local.get $decayv)))))
        (local.set $w (i32.add (local.get $w) (i32.const 16)))
        (local.set $g (i32.add (local.get $g) (i32.const 16)))
        (local.set $m (i32.add (local.get $m) (i32.const 16)))
        (local.set $v (i32.add (local.get $v) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $xs (f32.mul (f32.load (local.get $g)) (local.get $gs)))
        (local.set $ms (f32.add
          (f32.mul (f32.load (local.get $m)) (local.get $b1))
          (f32.mul (local.get $xs) (local.get $c1))))
        (local.set $vs (f32.add
          (f32.mul (f32.load (local.get $v)) (local.get $b2))
          (f32.mul (f32.mul (local.get $xs) (local.get $xs)) (local.get $c2))))
        (f32.store (local.get $m) (local.get $ms))
        (f32.store (local.get $v) (local.get $vs))
        (local.set $xs (f32.load (local.get $w)))
        (f32.store (local.get $w) (f32.sub (local.get $xs) (f32.add
          (f32.div
            (f32.mul (local.get $ms) (local.get $step))
            (f32.add (f32.mul (f32.sqrt (local.get $vs)) (local.get $root)) (local.get $e)))
          (f32.mul (local.get $xs) (local.get $decay)))))
        (local.set $w (i32.add (local.get $w) (i32.const 4)))
        (local.set $g (i32.add (local.get $g) (i32.const 4)))
        (local.set $m (i32.add (local.get $m) (i32.const 4)))
        (local.set $v (i32.add (local.get $v) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single))))

  ;; Nesterov momentum: m = mu * m + (1 - mu) * g; out = mu * m + (1 - mu) * g, with g scaled by gradScale.
  (func (export "nesterov")
    (param $g i32) (param $m i32) (param $out i32) (param $n i32) (param $momentum f64) (param $gradScale f64)
    (local $mu f32) (local $rest f32) (local $muv v128) (local $restv v128)
    (local $x v128) (local $mv v128) (local $xs f32) (local $ms f32)
    (local.set $mu (f32.demote_f64 (local.get $momentum)))
    (local.set $rest (f32.demote_f64
      (f64.mul (f64.sub (f64.const 1) (local.get $momentum)) (local.get $gradScale))))
    (local.set $muv (f32x4.splat (local.get $mu)))
    (local.set $restv (f32x4.splat (local.get $rest)))
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (local.set $x (f32x4.mul (v128.load (local.get $g)) (local.get $restv)))
        (local.set $mv (f32x4.add (f32x4.mul (v128.load (local.get $m)) (local.get $muv)) (local.get $x)))
        (v128.store (local.get $m) (local.get $mv))
        (v128.store (local.get $out) (f32x4.add (f32x4.mul (local.get $mv) (local.get $muv)) (local.get $x)))
        (local.set $g (i32.add (local.get $g) (i32.const 16)))
        (local.set $m (i32.add (local.get $m) (i32.const 16)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $xs (f32.mul (f32.load (local.get $g)) (local.get $rest)))
        (local.set $ms (f32.add (f32.mul (f32.load (local.get $m)) (local.get $mu)) (local.get $xs)))
        (f32.store (local.get $m) (local.get $ms))
        (f32.store (local.get $out) (f32.add (f32.mul (local.get $ms) (local.get $mu)) (local.get $xs)))
        (local.set $g (i32.add (local.get $g) (i32.const 4)))
        (local.set $m (i32.add (local.get $m) (i32.const 4)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single))))

  ;; w -= step * u + decay * w
  (func (export "decayedStep") (param $w i32) (param $u i32) (param $n i32) (param $step f64) (param $decay f64)
    (local $s f32) (local $d f32) (local $sv v128) (local $dv v128) (local $x v128) (local $xs f32)
    (local.set $s (f32.demote_f64 (local.get $step)))
    (local.set $d (f32.demote_f64 (local.get $decay)))
    (local.set $sv (f32x4.splat (local.get $s)))
    (local.set $dv (f32x4.splat (local.get $d)))
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (local.set $x (v128.load (local.get $w)))
        (v128.store (local.get $w) (f32x4.sub (local.get $x) (f32x4.add
          (f32x4.mul (v128.load (local.get $u)) (local.get $sv))
          (f32x4.mul (local.get $x) (local.get $dv)))))
        (local.set $w (i32.add (local.get $w) (i32.const 16)))
        (local.set $u (i32.add (local.get $u) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $xs (f32.load (local.get $w)))
        (f32.store (local.get $w) (f32.sub (local.get $xs) (f32.add
          (f32.mul (f32.load (local.get $u)) (local.get $s))
          (f32.mul (local.get $xs) (local.get $d)))))
        (local.set $w (i32.add (local.get $w) (i32.const 4)))
        (local.set $u (i32.add (local.get $u) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single))))

  ;; Squares and sums in f64: no f32 input overflows it, and NaN or Inf comes through.
  (func (export "sumSquares") (param $x i32) (param $n i32) (result f64)
    (local $low v128) (local $high v128) (local $a v128) (local $b v128) (local $sum f64) (local $s f64)
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (local.set $a (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $x))))
        (local.set $b (f64x2.promote_low_f32x4 (v128.load64_zero offset=8 (local.get $x))))
        (local.set $low (f64x2.add (local.get $low) (f64x2.mul (local.get $a) (local.get $a))))
        (local.set $high (f64x2.add (local.get $high) (f64x2.mul (local.get $b) (local.get $b))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (local.set $sum (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low))))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $s (f64.promote_f32 (f32.load (local.get $x))))
        (local.set $sum (f64.add (local.get $sum) (f64.mul (local.get $s) (local.get $s))))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single)))
    (local.get $sum))

  ;; dst += src
  (func (export "addInto") (param $dst i32) (param $src i32) (param $n i32)
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (v128.store (local.get $dst) (f32x4.add (v128.load (local.get $dst)) (v128.load (local.get $src))))
        (local.set $dst (i32.add (local.get $dst) (i32.const 16)))
        (local.set $src (i32.add (local.get $src) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (f32.store (local.get $dst) (f32.add (f32.load (local.get $dst)) (f32.load (local.get $src))))
        (local.set $dst (i32.add (local.get $dst) (i32.const 4)))
        (local.set $src (i32.add (local.get $src) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single))))

  ;; dst += a * src
  (func (export "axpy") (param $dst i32) (param $src i32) (param $n i32) (param $a f64)
    (local $s f32) (local $sv v128)
    (local.set $s (f32.demote_f64 (local.get $a)))
    (local.set $sv (f32x4.splat (local.get $s)))
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (v128.store (local.get $dst) (f32x4.add
          (v128.load (local.get $dst))
          (f32x4.mul (v128.load (local.get $src)) (local.get $sv))))
        (local.set $dst (i32.add (local.get $dst) (i32.const 16)))
        (local.set $src (i32.add (local.get $src) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (f32.store (local.get $dst) (f32.add
          (f32.load (local.get $dst))
          (f32.mul (f32.load (local.get $src)) (local.get $s))))
        (local.set $dst (i32.add (local.get $dst) (i32.const 4)))
        (local.set $src (i32.add (local.get $src) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single))))

  ;; x *= s
  (func (export "scale") (param $x i32) (param $n i32) (param $factor f64)
    (local $s f32) (local $sv v128)
    (local.set $s (f32.demote_f64 (local.get $factor)))
    (local.set $sv (f32x4.splat (local.get $s)))
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (v128.store (local.get $x) (f32x4.mul (v128.load (local.get $x)) (local.get $sv)))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (f32.store (local.get $x) (f32.mul (f32.load (local.get $x)) (local.get $s)))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single))))

  (func (export "fill") (param $x i32) (param $n i32) (param $value f64)
    (local $s f32) (local $sv v128)
    (local.set $s (f32.demote_f64 (local.get $value)))
    (local.set $sv (f32x4.splat (local.get $s)))
    (block $vectorDone
      (loop $vector
        (br_if $vectorDone (i32.lt_u (local.get $n) (i32.const 4)))
        (v128.store (local.get $x) (local.get $sv))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $vector)))
    (block $done
      (loop $single
        (br_if $done (i32.eqz (local.get $n)))
        (f32.store (local.get $x) (local.get $s))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $single)))))
