r"""What each part of the mathematics verifier decides: answers that are the gold and such that nearly are."""

from collections.abc import Iterator

import pytest

from thinkwright.rewards.verifiers.math.library import is_fit
from thinkwright.rewards.verifiers.math.verifier import grade, wrong_answer

# By module; a line holds a gold, right answers and wrong ones.
ANSWERS = {
    "compare": r"""
1 \text{ km} :: 1000 \text{ m} :: 100 \text{ m}
2 \text{ hours} :: 120 \text{ min} ::
5 \text{ cm} :: 0.05 \text{ m} ; 5 :: 5 \text{ kg}
5 :: 5 \text{ cm} ; x=5 ; \{5\} ; (5) :: \{5,6\} ; 5,5 ; 101_2
9 \text{ m}^2 :: 90000 \text{ cm}^2 :: 900 \text{ cm}^2
36 \text{ km/h} :: 10 \text{ m/s} ::
1/2 :: 2^{-1} ; \frac{1}{2^1} ; \frac{\sqrt{1}}{2} :: \frac{2^{-2}}{2^{-1}} ; \frac{1}{4/2}
0.5 :: 50\% :: \frac{\frac{1}{1}}{2}
6000 :: 6 \cdot 10^3 ; 60 \cdot 10^2 :: 6 \cdot 1000 ; 3 \cdot 2 \cdot 10^3
0.006 :: 6 \cdot 10^{-3} ::
72 ::  :: 8 \cdot 3^2
-6000 :: -6 \cdot 10^3 ::
-12 ::  :: -84/7
12.5 :: 25/2 ::
x/2 :: 0.5x ::
0.3333 :: 1/3 :: 0.1+0.2333 ; x ; \frac{1}{3}+i
0.3334 ::  :: 1/3
-0.3333 :: -1/3 ::
0.333 ::  :: 1/3
3.1416 :: \pi :: 3.14159
3.7321 :: 2+\sqrt{3} ::
0.8333 ::  :: \frac{1}{2}+\frac{1}{3}
1.2599 :: \sqrt[3]{2} ::
1.2500 ::  :: 1+\frac{1}{4}
0.33335 ::  :: 1/3
1234567890.3333 ::  :: \frac{3703703671}{3}
150\% :: 1.5 ; 150 ::
0.5\% :: 0.005 :: 0.5
50\% :: \frac{100}{2}\% :: 50 \text{ apples} ; 49\%
50 :: 50\% ::
1\% ::  :: 1
2\% :: 2 ::
x\% :: \frac{x}{100} :: x
-50\% :: -50 ::
-1\% ::  :: -1
f(x)=2x :: y=2x ::
y=2x :: 2x :: f(x)=2x
x=5 :: 5 :: y=5 ; x=6
y=2x+1 :: 2x-y+1=0 ; x=\frac{y-1}{2} :: 2x-y+2=0
2x-y+1=0 :: y=2x+1 ::
x=2 ::  :: x-2=0 ; 2x=4
2x :: y=2x ::
x=1,2 ::  :: x+y=3
x+y=3 :: 2x+2y=6 ; -x-y=-3 ; 3=x+y :: x=1,2 ; x \in \{a,b\} ; x-y=3 ; 0=0 ; x+y=1+2 ; 1+2=x+y ; x+y
x \in \{a,b\} ::  :: x+y=3
3=x+y ::  :: x+y=1+2
x+y<3 :: -x-y>-3 :: x+y>3 ; x+y\le 3 ; x+y=3
x+y\le 3 :: 2x+2y\le 6 ::
x+y\ge 3 :: 3\le x+y ::
(1,2]\cup[2,3) :: (1,3) ::
(1,2)\cup(2,3) ::  :: (1,3)
(1,2)\cup[2,3) :: (1,3) ::
(1,2]\cup(2,3) :: (1,3) ::
[1,4]\cup[2,3] :: [1,4] ::
[1,3]\cup[2,4] :: [1,4] ::
[1,3]\cup[2,4) :: [1,4) ::
(1,3)\cup[1,2] :: [1,3) ::
(1,3)\cup[2,3] :: (1,3] ::
[1,2]\cup[3,4] ::  :: [1,4] ; [1,2]
[3,4]\cup[1,2] :: [1,2]\cup[3,4] ::
(1,3]\cup[2,3) :: (1,3] ::
(1,3)\cup[2,3) ::  :: (1,3]
\{2\}\cup(2,3) :: [2,3) ::
(1,2)\cup\{2\} :: (1,2] ::
(1,2)\cup\{2\}\cup(2,3) :: (1,3) ::
(1,3] ::  :: (1,3)
[1,3] :: 1\le x\le 3 :: (1,3]
(1,3) :: 1<x<3 :: (1,4) ; (0,3)
(0,3) ::  :: (0,1+2) ; (1-1,3)
x>2 :: (2,\infty) ; 2<x :: y>2 ; x>3 ; 2 ; x=2
(2,\infty) :: x>2 ; y>2 ::
[1,3) :: 3>x\ge 1 :: 1<x\le 3
(1,3)\cup(4,5) :: x \in (1,3)\cup(4,5) ::
1,1,2 :: 2,1,1 :: 1,2,2 ; 1,2
1,2 :: \{2,1\} :: 1,2,3 ; (1,2) ; \begin{pmatrix}1\\2\end{pmatrix}
\{1,2\} :: 2,1 ; 1,2,2 :: \{1,2,3\}
\{1,2,3\} ::  :: \{1,2\}
\{5\} :: 5 :: 6 ; 5,6
\{5,6\} ::  :: 5
(3,2) :: x=3,y=2 ; y=2,x=3 ::
x=3,y=2 :: (3,2) ::
(2,3) ::  :: y=2,x=3
(1,2,3) :: 1,2,3 ; [1,2,3] :: 1,3,2 ; \{1,2,3\} ; \begin{pmatrix}1\\2\end{pmatrix} ; 1,2
1,2,3 :: (1,2,3) :: 1,2,\ldots
(1,2) :: \begin{pmatrix}1\\2\end{pmatrix} :: 1,2 ; \{1,2\} ; (1,2,3) ; (2,1) ; \begin{pmatrix}2\\1\end{pmatrix}
(1,2) ::  :: \begin{pmatrix}1&2\end{pmatrix} ; \begin{pmatrix}1&3\\2&4\end{pmatrix} ; (1,2,2)
(3,2,1) ::  :: x=3,y=2
(1,x) ::  :: (2,x)
(1,2,3,4) ::  :: 1,2,3
[1,2,3] :: (1,2,3) :: [1,3,2]
[3,2] :: [3,2.0] :: (3,2)
1,2,\ldots,10 :: 1, 2, \dots, 10.0 :: 2,1,\ldots,10 ; 1,2,\ldots,11
1,2,\ldots ::  :: 1,2,3
\begin{pmatrix}1\\2\end{pmatrix} :: (1,2) :: (1 \text{ cm},2)
\begin{pmatrix}1\\2\\3\end{pmatrix} ::  :: (1,2)
\begin{pmatrix}1&2\\3&4\end{pmatrix} :: \begin{bmatrix}1&2.0\\3&4\end{bmatrix} :: \begin{pmatrix}1&2\\3&5\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} ::  :: \begin{pmatrix}1&2\end{pmatrix} ; 10
\begin{pmatrix}1&2\end{pmatrix} ::  :: \begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1\\3\end{pmatrix} ::  :: \begin{pmatrix}1&2\\3&4\end{pmatrix}
101_2 :: 101_{2} :: 101_3 ; 111_2 ; 5
12.50 :: \frac{5^2}{2} ::
(x,y,z)=(1,2,3) :: x=1,y=2,z=3 ::
(1,2,\ldots) :: (1,2,\ldots) ::
(1,2.0,\ldots) :: (1,2,\ldots) ::
\{1,2,\ldots\} :: 1,2,\ldots ::
\{2,1,\ldots\} ::  :: 1,2,\ldots
1.3333 :: \frac{4}{3} :: 4 \cdot \frac{1}{3}
""",
    "evaluation": r"""
\sqrt[3]{2} :: \frac{2}{\sqrt[3]{4}} :: \frac{1}{\sqrt[3]{4}}
\sqrt[3]{-2} :: -\sqrt[3]{2} ::
\sqrt[4]{2} :: \sqrt{\sqrt{2}} ::
\sqrt{-2} :: i\sqrt{2} ::
\sqrt[3]{-8} :: -2 ::
(-8)^{1/3} :: -2 ::
(-8)^{2/3} :: 4 ::
8^{2/3} :: 4 ::
(-2)^{1/3} :: -\sqrt[3]{2} ::
(-4)^{1/2} :: 2i ::
2^{1/2} :: \sqrt{2} ::
2^{-1/2} :: \frac{\sqrt{2}}{2} ::
\sqrt{x^2} :: |x| :: x
6 :: (\sqrt{9})! ; (\sqrt[3]{27})! ; 3! ::
2 :: 2! :: (\sqrt{\frac{8}{2}})! ; (\sqrt{8})!
(\sqrt{144})! :: 479001600 ::
(\sqrt[4]{81})! :: 6 ::
(\sqrt[5]{32})! :: 2 ::
(\sqrt{1})! :: 1 ::
(\sqrt{0})! :: 1 ::
(\sqrt{\frac{36}{4}})! :: 6 ::
\sqrt{\frac{1}{4}} :: 0.5 ::
\sqrt{\frac{2}{4}} ::  :: 0.5
\sqrt[0]{2} ::  :: 1
\sqrt[1]{2} :: 2 ::
1 :: 0! :: 0.5! ; (-1)!
120 :: 5! ::
24 ::  :: 5!
\pi! ::  :: 6
n! :: n \cdot (n-1)! :: (n-1)!
\frac{3001!}{3000!} ::  :: 3001
\frac{3000!}{2999!} :: 3000 ::
\binom{5}{2} :: 10 ; \binom{5}{3} ::
\binom{5}{7} :: 0 ::
\binom{5}{5} :: 1 ::
\binom{5}{0} :: 1 ::
\binom{10}{4} :: 210 ::
\binom{10}{6} :: 210 ::
\binom{3000}{1} :: 3000 ::
\binom{3001}{1} ::  :: 3001
\binom{1/2}{1} ::  :: 0.5
\binom{-1}{1} ::  :: -1
\binom{3}{-1} ::  :: 0
\binom{n}{2} :: \frac{n(n-1)}{2} ::
\lfloor \pi \rfloor :: 3 ::
\lceil \pi \rceil :: 4 ::
\lfloor -\pi \rfloor :: -4 ::
\lceil -\pi \rceil :: -3 ::
\lfloor \sqrt{2}^2 \rfloor :: 2 ::
\lceil \sqrt{2}^2 \rceil :: 2 ::
\lfloor 2.5 \rfloor :: 2 ::
\lceil 2.5 \rceil :: 3 ::
\lfloor -2.5 \rfloor :: -3 ::
\lfloor i \rfloor ::  :: 0 ; 1
\lfloor \sqrt{8} \rfloor :: 2 ::
\lfloor 3\rfloor :: 3 ::
\lfloor\sqrt{2}^2+10^{-30}\rfloor :: 2 ::
\arctan 1 :: \frac{\pi}{4} ::
\arcsin 1 :: \frac{\pi}{2} ::
\arccos 0 :: \frac{\pi}{2} ::
\arcsin x :: \frac{\pi}{2}-\arccos x :: \arcsin 2x
\arctan x ::  :: \arcsin x
\sin 30^\circ :: 0.5 ::
\cos 60^\circ :: 0.5 ; \cos\frac{\pi}{3} :: \cos 60
\sin(180^\circ-x) :: \sin x ::
\log 100 :: 2 ::
\ln e^2 :: 2 ::
\log_2 8 :: 3 ::
\ln 8 :: 3\ln 2 ::
\ln 10 ::  :: \log 10
\ln(-1) :: i\pi ::
\ln 0 ::  :: 0
\ln x^2 :: 2\ln x ::
\log 0 ::  :: 1
\ln(x^2) :: 2\ln(x) ::
\log x :: \frac{\ln x}{\ln 10} ::
0^0 :: 1 ::
0^2 :: 0 ::
0^{-2} ::  :: 0
0^{1/2} :: 0 ::
0^{\pi} :: 0 ::
0^i ::  :: 0
0^{-\pi} ::  :: 0
i^2 :: -1 ::
e^{i\pi} :: -1 ::
(1+i)^2 :: 2i ::
i ::  :: -i
|3+4i| :: 5 ::
\frac{1}{i} :: -i ::
e^{2x} :: (e^x)^2 ::
e^{x} :: \exp(x) ::
\exp 1 :: e ::
e^x ::  :: 2^x
x^2 :: x \cdot x ::
x^{-1} :: \frac{1}{x} ::
2^{10} :: 1024 ::
2^{-2} :: 0.25 ::
(-2)^3 :: -8 ::
(-1)^{999999999} :: -1 ::
(-1)^{1000000000} :: 1 ::
1^{999999999} :: 1 ::
2^{30000} :: 4^{15000} :: 4^{15001}
\pi^{2} :: \pi \cdot \pi ::
2^\pi :: e^{\pi\ln 2} ::
2^{\sqrt{2}} :: 4^{\frac{\sqrt{2}}{2}} ::
\pi^{100000} ::  :: 1
0\pi :: 0 ::
\sin \pi :: 0 ::
\sin(10^{30}) ::  :: 0
\sinh 1 :: \frac{e-e^{-1}}{2} ::
\cosh 50 :: \frac{e^{50}+e^{-50}}{2} ::
\tan\frac{\pi}{4} :: 1 ::
\sec 0 :: 1 ::
\cot\frac{\pi}{4} :: 1 ::
\csc\frac{\pi}{2} :: 1 ::
\tanh 0 :: 0 ::
\frac{x^2-1}{x-1} :: x+1 ::
e^{-x} :: \frac{1}{e^x} ::
\sqrt{x-1} :: (x-1)^{1/2} ::
\sqrt{-x^2-1} :: i\sqrt{x^2+1} ::
\ln(-x^2-1) :: \ln(x^2+1)+i\pi ::
\frac{\sqrt{x}}{\sqrt{y}} :: \sqrt{\frac{x}{y}} ::
\pi ::  :: \pi+10^{-60}
10^{60}\pi ::  :: 10^{60}\pi+1
10^{-60}\pi ::  :: 10^{-60}\pi+10^{-90}
\sqrt[1000]{2} :: 2^{1/1000} ::
\sqrt[1001]{2} ::  :: 2^{1/1001}
\lfloor 10\pi \rfloor :: 31 ::
\lceil 10\pi \rceil :: 32 ::
""",
    "expressions": r"""
bc :: cb ::
xyz :: zyx :: xyy
ab^2 :: b^2a :: a^2b^2
abcd ::  :: dcba
\text{ab} ::  :: ba
x_a+1 :: 1+x_{a} :: 1+x_b ; 1+x_
x_{ab}+1 :: 1+x_{ab} ; 1+x_ab :: 1+x_{ac}
x_1+x_2 :: x_2+x_1 :: x_1+x_3
x_{10}+1 ::  :: 1+x_{20}
x_n+1 :: 1+x_n ::
x'+1 :: 1+x' :: 1+x'' ; 1+x
x_{n+1}+1 :: 1+x_{n+1} :: 1+x_{n+2}
x_(1)+1 ::  :: 1+x_(1)
ab_1 :: b_1a ::
\sin^2 x :: 1-\cos^2 x :: 1-\cos x
\sin^{-1} 1 :: \frac{\pi}{2} ::
\cos^{-1} x :: \arccos x ::
\tan^{-1} x :: \arctan x ::
\sin^{-1} x ::  :: \frac{1}{\sin x}
\sin^{-2} x :: \frac{1}{\sin^2 x} ::
\ln^{-1} x :: \frac{1}{\ln x} ::
\sinh^{-1} x :: \frac{1}{\sinh x} ::
\sin(x)+1 :: 1+\sin x ::
\sin(x)y :: y\sin x :: \sin(xy)
\sin[x]y :: y\sin x ::
\sin{x}y :: y\sin x ::
\sin 2x :: 2\sin x\cos x ::
\sin x\cos x :: \cos x\sin x ::
\sin\cos x :: \sin(\cos(x)) ::
\sin xy :: \sin(xy) ::
\sin x(y+1) :: (y+1)\sin x ::
\sin -x :: -\sin x ::
\sin\lfloor 0.5\rfloor :: 0 ::
\sin x \cdot y :: y\sin x ::
\ln x/2 :: \frac{\ln x}{2} ::
\ln\sqrt{x} :: \frac{1}{2}\ln x ::
\sin |x| :: \sin(|x|) ::
\sin(x)^2 :: \sin^2 x ::
\log_2 8x :: 3+\log_2 x ::
\log_{10} x :: \log x ::
\log_{16} 4 :: 0.5 ::
\log_16 4 :: 0.5 ::
\log_2^2 8 :: 9 ::
\ln_2 8 ::  :: 3
\log_a b :: \frac{\ln b}{\ln a} ::
\log_3(9) :: 2 ::
\sqrt[3]{8} :: 2 ::
\sqrt[4]{16} :: 2 ::
\sqrt[3]8 :: 2 ::
\sqrt 16 :: 4 ::
\sqrt16 :: 4 ::
\sqrt{x}y :: y\sqrt x ::
\sqrt[3]{x} :: x^{1/3} :: \sqrt{x}
\sqrt (16) :: 4 ::
\sqrt[2]{x} :: \sqrt{x} ::
sqrt(2)x :: x\sqrt 2 ::
\lfloor x\rfloor+1 :: \lfloor x+1\rfloor ::
\lceil x\rceil :: -\lfloor -x\rfloor ::
\lfloor x\rfloor ::  :: x ; \lceil x\rceil
\{x\}+1 ::  :: x+1
2^3^2 :: 512 ::
2^{3^2} :: 512 ::
{2^3}^2 :: 64 ::
x^2y :: yx^2 ::
x^-2 :: \frac{1}{x^2} ::
x^+2 :: x^2 ::
x^3! :: x^6 ::
2^3! :: 64 ::
-x^2 :: -(x^2) :: (-x)^2
x^{-2} :: x^{-2}\cdot 1 ::
|x|+1 :: 1+|-x| ::
|x|y :: y|x| ::
x|y| :: |y|x ::
|x-|y|| :: ||y|-x| ::
|x ::  :: x
|x||y| :: |xy| ::
|(|x|)| :: |x| ::
2|x| :: |2x| ::
(|x|+1)y :: y+y|x| ::
2\frac12 :: 2.5 ::
2\frac{1}{3} :: 7/3 ::
1\frac{3}{2} ::  :: 2.5
2\frac{x}{3} :: \frac{2x}{3} ::
2\frac{3}{2}x :: 3x ::
2.0\frac{1}{2}x :: x ::
2\frac{1}{2}x :: 2.5x ::
2\frac{0}{3}x ::  :: 2x
2\frac{1}{1}x :: 2x ::
2\frac{1.5}{2}x :: 1.5x ::
-2\frac12 :: -2.5 ::
2\frac{1}{2.5}x :: 0.8x ::
2\frac{1.5}{2.5}x :: 1.2x ::
2\frac{-1}{2}x :: -x ::
\frac12 :: 0.5 ::
\frac123x ::  :: 1.5x
\frac12x :: 0.5x ::
\frac1{12} :: 1/12 ::
\frac{1}2 :: 0.5 ::
\frac\pi2 :: \frac{\pi}{2} ::
\frac{x}{2}y :: xy/2 ::
\frac+1 ::  :: 1
\frac\sqrt2 2 :: \frac{\sqrt2}{2} ::
\frac{10}{3}x :: 10x/3 ::
\binom52 :: 10 ::
--5 :: 5 ::
---5 ::  :: -5
+5 :: 5 ::
3--2x :: 3+2x ::
3-+2x :: 3-2x ::
2*-x :: -2x ::
6/2x :: 3x ::
1/2/x :: \frac{1}{2x} ::
2x/3y :: \frac{2xy}{3} ::
(x+1)(x-1) :: x^2-1 ::
(x+1)2 :: 2x+2 ::
x2 ::  :: 2x
x 2 ::  :: 2x
x+1 ::  :: (x+1 ; x+1)
f(x)+1 ::  :: fx+1
f(2) ::  :: 2f
x ::  :: x+
x+y-z :: x-z+y ::
x-y-z ::  :: x-(y-z)
x/y*z :: xz/y ::
3x! ::  :: 6x
x!! :: (x!)! ::
1.50x :: 1.5x ::
.5x :: 0.5x ::
12_3x ::  :: 12x
[x+1]y :: xy+y ::
{x+1}y :: xy+y ::
\langle x\rangle y ::  :: xy
""",
    "forms": r"""
\{1\}\cup(2,3) :: (2,3)\cup\{1\} :: (2,3)\cup\{4\}
\{1,2\}\cup\{3\} :: \{1,2,3\} :: \{1,2\}
x \in \{1,2\} :: \{2,1\} ; x=1,2 :: x \in \{1,3\}
\{a\}\cup(2,3) ::  :: (2,3) ; (2,3)\cup\{a\}
x \in [1,2] :: [1,2] ::
x \in (1,2) :: 1<x<2 ::
x \in \{a,b\} :: \{b,a\} ::
[1,1]\cup(2,3) ::  :: \{1\}\cup(2,3)
x \ne 1 :: (-\infty,1)\cup(1,\infty) :: x>1
x \ne 1,2 :: (-\infty,1)\cup(1,2)\cup(2,\infty) ::
x \ne 2,1 :: x \ne 1, x \ne 2 ::
\mathbb{R}\setminus\{1\} :: (-\infty,1)\cup(1,\infty) ; x \ne 1 :: x \ne 2
\mathbb{R} :: (-\infty,\infty) :: (-\infty,0) ; [-\infty,\infty]
\mathbb{R}\setminus\{2,1\} :: (-\infty,1)\cup(1,2)\cup(2,\infty) ::
\mathbb{R}\setminus[1,2] ::  :: x \ne 1
1 \ne x :: x \ne 1 ::
x \ne 1, y \ne 2 ::  :: x \ne 1,2
x \ne \pm 1 :: x \ne 1,-1 ::
x<3 :: (-\infty,3) :: (-\infty,3]
x\le 3 :: (-\infty,3] ::
x\ge 3 :: [3,\infty) ::
x>3 :: (3,\infty) :: [3,\infty)
3\ge x :: (-\infty,3] :: x\ge 3
x<3 or x>5 :: (-\infty,3)\cup(5,\infty) ::
x<3 and x>5 ::  :: (-\infty,3)\cup(5,\infty)
\emptyset :: \{\} ; no solution :: 0
(3,1) :: x=3,y=1 :: 1<x<3
(1,3) :: 1<x<3 ::
[1,3] ::  :: \begin{pmatrix}1\\3\end{pmatrix}
(1,i) :: (1,i) ::
(2,i) ::  :: 1<x<2
(1,x) ::  :: 1<x<2
(1,2,3) ::  :: 1<x<3
(1,1) ::  :: \{1\}\cup(2,3)
(-\infty,\infty) :: \mathbb{R} ::
(\infty,-\infty) ::  :: \mathbb{R}
\pm 2 :: 2,-2 :: 2
2,-2 :: \pm 2 ::
1\pm\sqrt2 :: 1+\sqrt2,1-\sqrt2 ::
\pm1\pm2 :: 3,-1,1,-3 ::
\pm 1\mp 2 :: -1,1 ::
\pm1\mp2 ::  :: 3,-3
\frac{-1\pm\sqrt5}{2} :: \frac{-1+\sqrt5}{2},\frac{-1-\sqrt5}{2} ::
(\pm1,2) :: (1,2),(-1,2) ::
(\pm1,\pm2) :: (1,2),(-1,2),(1,-2),(-1,-2) :: (1,2),(-1,-2)
x=\pm 2 :: x=2,x=-2 :: x=2
\{\pm 2\} :: \{2,-2\} ::
\pm 1, \pm 2 :: 1,-1,2,-2 ::
2\mp 1 :: 1,3 ::
x\mp 1 :: x-1,x+1 ::
\pm a\pm b\pm c\pm d\pm e ::  :: a
\pm(1\mp 2) :: -1,-3 :: 1,3
\pm(3\mp2) :: 1,-5 ::
x=2,3 :: x=2,x=3 ; 2,3 :: x=3 ; y=2,3
x=2,y=3 :: y=3,x=2 :: x=3,y=2
x=1,2 :: x=2,1 ::
x=2 or x=3 :: x \in \{2,3\} ::
x=2,\pm 3 :: x=2,3,-3 ::
x=2 or 3 :: 2,3 ::
""",
    "leaves": r"""
\angle ABC=60 :: 60 ; \angle ABC = 60.0 :: \angle ABD=60 ; \angle ABC=61
\angle A=60 :: 60 ::
(x,y)=(1,2) :: (1,2) :: (2,1)
(1,2) :: (x,y)=(1,2) :: (x+1,y)=(1,2) ; (ab)=(1,2)
(AB,y)=(1,2) ::  :: (1,2)
|AB|=5 :: 5 ::
5 :: |AB|=5 ; (x)=5 :: |x|=5 ; |x+1|=5 ; ()=5 ; |AB,CD|=5 ; \angle(ABC)=5
|x|=5 ::  :: 5 ; x=5
[ABC]=5 :: 5 :: [ABD]=5
f(x)=2x :: 2x ::
2x :: f(x)=2x ; u(x)=2x ::
f^{-1}(x)=x/2 :: x/2 ::
x/2 :: f^{-1}(x)=x/2 :: f^{2}(x)=x/2 ; f^2(x)=x/2
P(A)=1/2 :: 1/2 ::
1/2 :: P(A)=1/2 ; P(A+B)=1/2 ::
6 :: f(2)=6 ; u(2)=6 ; 2(3)=6 ; u(x,y)=6 ; f_1(2)=6 ; h(2)=6 ; g(2x+1)=6 :: x(2)=6 ; u(x+1)=6 ; a_1(x)=6 ; f(2)=7
6 ::  :: (2)f(2)=6 ; 2(x)=6 ; P^2(A)=6
AB=7 :: 7 ::
7 :: AB=7 ; \text{area}=7 ; \text{ab}=7 ; area=7 ; \text{the area}=7 ; a_1=7 ; a_{12}=7 ; \alpha=7 ; x'=7 ::
7 :: \vec{v}=7 :: ab=7 ; \pi=7 ; x+1=7 ; \infty=7 ; -x=7 ; x^2=7 ; \text{a b c d e f g h i j k l m n}=7 ; x_1
ab=7 ::  :: 7
\text{area}=7 :: 7 ::
a_1=7 ::  :: a_2=7
5 million dollars :: 5000000 dollars :: 5000000 euros
5 million :: 5000000 :: 5000
-5 million :: -5000000 ::
5 hundredths :: 0.05 ::
2 dozen eggs :: 24 eggs :: 24 pens
\$5 million :: 5000000 dollars ::
x million ::  :: 1000000x
1 2 million ::  :: 2000000
1.5 million :: 1500000 ::
5 million million ::  :: 5000000
7/3 :: 2 1/3 ; +2 1/3 :: -2 1/3
2 1/3 :: 7/3 ; 2\frac13 :: 2/3
-7/3 :: -2 1/3 ::
-2 1/3 :: -7/3 :: 7/3
3 ::  :: 2 3/3
2 ::  :: 2 0/3
3.5 ::  :: 2 3/2
2.5 :: 2 1/2 :: 2 x/2 ; 2 1/2/1 ; 2.0 1/2
2 1/2 cups :: 2.5 cups ::
2 1/2 :: 2 2/4 ::
1 ::  :: 2 1*3 ; 1_1
\begin{pmatrix}1\\2\end{pmatrix} :: \frac{1}{2}\begin{pmatrix}2\\4\end{pmatrix} ::
\begin{pmatrix}1\\2\end{pmatrix} :: \left(\begin{array}{c}1\\2\end{array}\right) ::
\begin{pmatrix}1\\2\end{pmatrix} :: \begin{pmatrix}\hline 1\\ \hline 2\\\end{pmatrix} ::
\begin{pmatrix}1\\2\end{pmatrix} :: [\begin{array}{c}1\\2\end{array}] :: \begin{pmatrix}1\\2\end{pmatrix}+1
\begin{pmatrix}1\\2\end{pmatrix} ::  :: \begin{pmatrix}1\\2&3\end{pmatrix} ; (\begin{array}{c}1\\2\end{array}]
\begin{pmatrix}1\\2\end{pmatrix} ::  :: \{\begin{array}{c}1\\2\end{array}\} ; \begin{pmatrix}\end{pmatrix}
\begin{pmatrix}-1\\-2\end{pmatrix} :: -\begin{pmatrix}1\\2\end{pmatrix} ::
\begin{pmatrix}2\\4\end{pmatrix} :: 2\cdot\begin{pmatrix}1\\2\end{pmatrix} ; 2(\begin{array}{c}1\\2\end{array}) ::
\begin{pmatrix}2\\4\end{pmatrix} ::  :: \begin{pmatrix}1\\2\end{pmatrix}
\begin{pmatrix}x\\2x\end{pmatrix} :: x\begin{pmatrix}1\\2\end{pmatrix} ::
1A_{16} :: 1a_{16} :: 1B_{16} ; 1A_{17}
127_8 :: (127)_8 :: 128_8
-101_2 :: -101_{2} :: 101_2
0.11_2 :: (0.11)_{2} :: 0.10_2
ZZ_{36} ::  :: 1
1Z_{36} :: 1z_{36} ::
1_{37} ::  :: 1
1_2 :: (1)_2 ::
101_2 ::  :: _2 ; 101_x
-x_1+2 :: 2-x_1 ::
""",
    "verifier": r"""
5 \text{ m} :: 5 m :: 5 s
5 m :: 5 \text{ m} ::
5 :: 5 m :: 5/0
5 \text{ cm} :: 0.05 m ::
0.05 m :: 5 \text{ cm} ::
5m :: 5m ::
2x ::  :: 2 m
1,234 :: 1234 ::
(1,234) :: (1,234.0) ::
1, 234 :: 1,234 :: 1234
1234 :: 1,234 ::
12 :: \$12 :: 84/7
12.5 :: 25/2 ::
0.12345 :: 0.12345 ::
0.5 :: \frac{1}{2} ::
-12 ::  :: -\frac{84}{7}
$12 :: \$12 ::
0.3333 :: \frac{1}{3} ::
0.33333 ::  :: 0.3333
1/2 :: 2/4 ::
-1/2 ::  :: 1/2
1,234.5 :: 1234.50 ::
1.2345 :: 2469/2000 ::
\text{Friday} :: friday :: Monday
2 :: 2 ::
""",
    "reader": r"""
[1,3] :: 3\ge x\ge 1 ::
(1,3) :: 3>x>1 :: 3\ge x\ge 1 ; 1<x>3 ; 1<x\ne 3 ; 1<2<3 ; 1<x<y<3 ; 1<x<3<4 ; 3>x=1
(1,3] :: 3\ge x>1 ::
1\le x<3 :: 3>x\ge 1 :: 3\ge x>1
x>1 ::  :: x>1=1 ; 1=x>1
x>2 :: x>2 : (2,\infty) ; \{x|x>2\} ; \{x:x>2\} ; \{x \mid x>2\} :: x>2 : (3,\infty) ; \{2x|x>2\} ; \{x>2\} ; -x<-2
(2,\infty) :: x>2 : (2,\infty) ::
1:2 :: 1:2 :: 2:1
1,2 :: 1 or 2 ; 1 \text{ and } 2 ; 1;2 ; 1,2, ::
x<1 or x>2 :: x<1 \text{ or } x>2 :: x<1, x>2 ; x<1 or y>2 ; x<1 or 2 ; y<1 or y>2
x+y<1 ::  :: x+y<1, x>2 ; x+y<1 or x+y<1
x \ne 1, x \ne 2 :: x \ne 1, 2 :: x \ne 1 or x \ne 2 ; y \ne 1, y \ne 2
x \ne 1, 2 ::  :: x \ne 1, x>2 ; x \ne 1, y \ne 2 ; x+y \ne 1, 2 ; x \ne 1, x \in (-\infty,1)\cup(2,3)
x \ne 1 ::  :: x \ne y ; x \ne 1, x<1
x \in (1,2) :: (1,2) :: y \in (1,2) ; x \in (1,2) \in (1,2)
(1,2) :: x \in (1,2) ; \langle 1,2\rangle :: 2x \in (1,2) ; (1,2)\setminus\{1\} ; \langle 1,2]
x \in \mathbb{R} :: \mathbb{R} ::
(3,2) :: x \in (3,2) ::
6 :: 2+4=6 ; 6=6 ; x=6=6 ; 6=x ; 12/2=6 :: 2+4=7 ; x=5=6 ; 5=x ; x=6=y ; (1,2)=6
x+y=3 :: 3=x+y :: x+y=3=3
x+y :: x+y=y+x ::
\{1,2\} :: \{x|x=1,2\} ; {1,2} ; \{1;2\} ::
(1,2)\cup(3,4) :: (1,2) \cup (3,4) \cup :: (1,2)\cup x
\mathbb{R}\setminus\{1\} :: x \in \mathbb{R}\setminus\{1\} :: \mathbb{R}\setminus\{x\}
\mathbb{R}\setminus\{1\} ::  :: \mathbb{R}\setminus\{1\}\setminus\{1\}
5 :: [5] ; {5} :: (5] ; \lfloor 5.5\rfloor ; five
5.0x :: (5x) ::
\langle 1,2\rangle :: (1,2) ::
(1,2] ::  :: (1,2) ; (2,1] ; (1,2,3] ; (1,2\}
(x=1,y=2) :: x=1,y=2 ::
(x+1)(x-1) :: (x-1)(x+1) ::
(1;2) :: (1,2) ::
[1,\infty) :: x\ge 1 ::
(1,x] ::  :: 1
\text{all real numbers} :: \mathbb{R} ::
\mathbb{R} :: all reals ::
\emptyset :: \text{no solutions} ; \text{No real solution} ; \text{the empty set} :: \mathbb{R}
5x ::  :: apple
\pm 5 \text{ cm} :: 5 \text{ cm}, -5 \text{ cm} :: 5 \text{ cm}, -5 \text{ m}
x>y :: y<x :: x<y ; x\ge y
x\ge y :: y\le x ::
2x>4 ::  :: x>2
2x>4y :: x>2y ::
x\ne y ::  :: x>y
""",
    "units": r"""
\$5 :: 5 dollars ; 500 cents :: 5 cents ; -\$5
-\$5 :: -5 dollars ::
€5 :: 5 euros :: \$5
£5 :: 5 GBP ::
¥5 :: 5元 ::
5元 :: 50角 ::
5 sec :: 5 seconds ::
1 minute :: 60 sec ::
30^\circ :: 30 ; 30 degrees :: 31 ; 30 \text{ rad}
30° :: 30^{\circ} :: 30 °C
5 square feet :: 5 \text{ ft}^2 ::
5 sq ft :: 5 \text{ ft}^{2} ::
5 cubic meters :: 5 \text{ m}^3 :: 5 \text{ m}^2
5 cu m :: 5 \text{ m}^3 ::
5 km per hour :: 5 \text{ km/h} ::
5 miles per hour :: 5 mph ::
5 \text{ km/h} ::  :: 5 \text{ km}
18 \text{ km/h} :: 5 \text{ m}\cdot\text{s}^{-1} ::
5 kph :: 5 \text{ km/h} ::
5平方米 :: 5 \text{ m}^2 :: 5 \text{ m}^3
5 \text{ cm}^3 ::  :: 5 ml
5 \text{ m}^4 ::  :: 5
5 \text{ cm}^{-1} :: 5 per cm ::
18 apples :: 18 apple ; 18 :: 18 pears
18 :: 18 \text{ red apples} ; 18 \text{ small red ripe apples} :: 18 \text{ small red ripe sweet apples}
18 \text{ red apples} ::  :: 18 \text{ green apples}
5 cups :: 5 cup ::
5 glasses ::  :: 5 glass
5 men :: 5 men ::
5 students :: 5 student ::
5 :: 5 eggs ; 5 pens ; 5 \text{ ab} ; 5 points ; 5个 ; 5 cm/ :: 5 xyz ; 5 ab ; apples 5 ; 5 percentage ; 5 too
5 ::  :: 5 Thousand ; 5 万 ; 5百 ; 5 k ; 5 sixths ; 5 [cm] ; 5 cm^4 ; 5 /
5 percent :: 5% ::
5% :: 5 per cent :: 5 percentage points ; 5 percent of apples
5\% ::  :: 5 % %
5 kg :: 5000 g ; 5000 grams :: 5 km
1 lb :: 16 oz ::
1 foot :: 12 inches ::
3 feet :: 1 yard ::
1 mile :: 5280 feet ::
1 L :: 1000 mL ::
1 week :: 7 days ::
1 day :: 24 hours ::
1 ton ::  :: 1 tonne
1千米 :: 1000米 ::
2小时 :: 120分钟 ::
5公斤 :: 5 kg ::
2 hours ::  :: 2 min
5 cm :: 5 cm^1 ::
""",
    "tokens": r"""
0.1\overline{6} :: 1/6 :: 0.\overline{16}
0.\overline{3} :: 1/3 ::
1.\overline{3} :: 4/3 ::
.\overline{3} :: 1/3 ::
0.\bar{3} :: 1/3 ::
12.3\overline{45} :: \frac{679}{55} ::
1.5E3 :: 1500 ::
1.5e3 :: 1500 ::
1e-10 :: 10^{-10} ::
2e :: 2e ::
2e^1 :: 2e ::
1E3 :: 1000 ::
1.5E+3 :: 1500 ::
1 ::  :: 1E401
x^2 :: x**2 ::
x \cdot y :: x \times y ::
x \div y :: x/y ::
x \ast y :: xy ::
\lvert x\rvert :: |x| ::
\vert x\vert :: |x| ::
1 \lor 2 :: 1,2 ::
1\land 2 :: 1,2 ::
1 \vee 2 :: 1,2 ::
x>2 :: \{x\colon x>2\} ::
\operatorname{sin} x :: \sin x ::
\operatorname{tg} x :: \tan x ::
\operatorname{cosec} x :: \csc x ::
\mathrm{e}^x :: e^x ::
\text{sin } x :: \sin x ::
\text{i} :: i ::
\mathbf{v}+1 :: 1+v :: 1+\mathbf{w}
\mathit{v}+1 :: 1+v ::
asin x :: \arcsin x ::
atan x :: \arctan x ::
acos x :: \arccos x ::
lg x :: \log x ::
\operatorname{2} x :: x ::
\theta+1 :: 1+theta ::
2pi :: 2\pi ::
alpha+1 :: 1+\alpha ::
\ell+1 :: 1+\ell ::
lambda+1 :: 1+\lambda ::
x<\infty :: x<oo ::
(1,inf) :: (1,\infty) ::
(1,infinity) :: (1,\infty) ::
\vec{v}+1 :: 1+\vec v :: 1+v
\overline{AB}+1 :: 1+\overline{AB} :: 1+\overline{AC}
\hat{x}+1 ::  :: 1+\hat{y}
\vec{\alpha}+1 :: 1+\vec{\alpha} ::
1,234 :: 1234 ::
(1,234) :: (1,234) :: (1234)
1,234,567 :: 1234567 ::
1,23 :: 1, 23 ::
\{1,234\} ::  :: \{1234\}
\sqrt{1,234} :: \sqrt{1234} ::
\frac{1,234}{5} :: \frac{1234}{5} ::
1,234.5x :: 1234.5x ::
1,2345 ::  :: 12345
2,1,234 :: 1234,2 ::
5 ::  :: 5\hspace{1em} ; 5 \foo ; 5☃
\text{5 apples} :: 5 apples ::
5 \text{ apples.} :: 5 apples ::
x=1 \text{ or } x=2 :: 1,2 ::
\begin{pmatrix}1&2\\3&4\end{pmatrix} :: \begin{array}{cc}1&2\\3&4\end{array} ::
\begin{pmatrix}1&2\\3&4\end{pmatrix} :: \begin{smallmatrix}1&2\\3&4\end{smallmatrix} ::
\begin{pmatrix}1\\2\end{pmatrix} :: \begin {pmatrix}1\\2\end {pmatrix} ::
""",
    "values": r"""
\infty :: \infty :: -\infty ; 5
5 ::  :: \infty ; x ; x-x+5
x :: x+y-y :: 5 ; y
x-x+5 :: 5 ::
x+y :: y+x ::
x+y-y :: x ::
(-1)^n :: \cos(n\pi) ; (-1)^{n+2} :: 1 ; (-1)^{n+1}
\lfloor n/2\rfloor :: \frac{2n-1+(-1)^n}{4} ::
\lfloor x\rfloor ::  :: x
\lfloor n\rfloor :: n ::
\frac{(n+1)!}{n!} :: n+1 :: n
\binom{n}{1} :: n ::
\binom{n}{k} :: \binom{n}{n-k} ; \frac{n!}{k!(n-k)!} ::
(-2)^x ::  :: 2^x
(-x)^2 :: x^2 ::
\sqrt{-x^2} ::  :: xi
\sqrt{x}\sqrt{x} :: x ::
\ln(xy) :: \ln x+\ln y ::
\frac{1}{x-x} ::  :: 1
3ix :: \frac{-3x}{i} :: -3ix
x+iy ::  :: x-iy
e^{ix} :: \cos x+i\sin x ::
x=y :: 2x=2y ::
x=2y :: y=x/2 ::
x^2+y^2=1 :: x^2+y^2-1=0 :: x+y=1
x+y=1 ::  :: x+y+z=1 ; (x+y-1)z=0 ; 0(x+y)=0 ; (x+y)^2=1 ; (x+y-1)(x-y)=0
x+y<1 :: -2x-2y>-2 :: -2x-2y<-2 ; ix+iy<i
""",
    "text": r"""
5 :: \(5\) ::
x+1 :: 1+\(x\) ::
5 cm :: $5$ cm ::
5x :: $5$ $x$ ; \displaystyle 5x ; 5\;x ; 5\quad x ; 5~x ; 5\!x ::
5 dollars :: $5 ::
\frac{1}{2} :: \dfrac12 ; \tfrac{1}{2} ; \cfrac{1}{2} ::
\binom52 :: \dbinom{5}{2} ::
(1,2) :: \left(1,2\right) ; \bigl(1,2\bigr) ; \Big(1,2\Big) ; （1，2） ::
|x|+1 :: \left|x\right|+1 ::
1234x :: 1\,234x ; 1,\!234x ; 1{,}234x ::
12345 :: 12 345 :: 12 34 5
1234567.5 :: 1 234 567.5 ::
-12345 :: -12 345 ::
x\le 2 :: x≤2 ; x\leqslant 2 ; x=<2 ::
x\ge 2 :: x\geqslant 2 ; x≥2 ::
x\ne 2 :: x≠2 ::
x<2 :: x\lt 2 ::
x>2 :: x\gt 2 ::
1,2,\ldots :: 1,2,... ; 1,2,\cdots ::
30^\circ :: 30\degree ; 30^{\circ} ; 30° ::
\{1,2\} :: \lbrace 1,2\rbrace ::
[1,2] :: \lbrack 1,2\rbrack ::
\emptyset :: \varnothing ; \{\} ; ∅ ; \{ \} ::
\mathbb{R} :: \R ; \mathbb R ; ℝ ; \Bbb{R} ::
x<\infty :: x<\infin ; x<∞ ::
(1,2)\cup(3,4) :: (1,2)\bigcup(3,4) ; (1,2)∪(3,4) ::
\mathbb{R}\setminus\{1\} :: \mathbb{R}\backslash\{1\} ::
e^x :: \exponentialE^x ::
x^2+1 :: x²+1 :: x³+1
x^{12}+1 :: x¹²+1 ::
x^{-1}+1 :: x⁻¹+1 ::
x^n+1 :: xⁿ+1 ::
x_1+1 :: x₁+1 ::
x_{12}+1 :: x₁₂+1 ::
12x :: １２x ::
12 :: ١٢ ::
0.5x :: ½x ::
x/4 :: ¼x ::
\sqrt{2} :: √2 ::
2\pi :: 2π ::
x \cdot y :: x×y ; x⋅y ::
x/y :: x÷y ::
-x :: −x ::
\pm x :: ±x ::
50% :: 50％ ::
x=5 :: x＝5 ::
\lfloor x\rfloor :: ⌊x⌋ ::
\lceil x\rceil :: ⌈x⌉ ::
x\in(1,2) :: x∈(1,2) ::
\text{(A)} :: A :: (B)
\text{A} :: A. ; \textbf{(A)} ::
(a) :: A ::
\text{B} ::  :: A
C :: (C) ; C) ::
\text{Friday} :: \textbf{Friday} ; FRIDAY. :: Fridays
\text{the blue car} :: blue car ::
\text{a car} :: an car ::
\text{blue car} ::  :: car blue
\text{9 a.m.} :: 9 am :: 9 p.m.
\text{even, odd} :: even odd ::
\text{the} ::  :: a
\text{room 5} :: Room 5 :: room 5! ; room .5
\text{yes} :: \textit{Yes} ::
\text{east} :: \mathrm{east} ::
\text{well-known} :: well-known ::
1, 234 :: 1,234 ::
1,234 ::  :: 1, 234
x y :: xy ::
2 3/4 ::  :: 23/4
""",
}


def _rows() -> Iterator[tuple[str, str, float]]:
    for line in "".join(ANSWERS.values()).split("\n"):
        if line:
            gold, right, wrong = line.split(" ::")
            yield from ((gold, answer.strip(), 1.0) for answer in right.split(" ; ") if answer.strip())
            yield from ((gold, answer.strip(), 0.0) for answer in wrong.split(" ; ") if answer.strip())


@pytest.mark.parametrize(("gold", "answer", "verdict"), list(_rows()))
def test_an_answer_is_the_gold_in_another_spelling_or_is_not(gold: str, answer: str, verdict: float) -> None:
    assert grade(rf"\boxed{{{answer}}}", gold) == verdict


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5", "6"),
        ("-1/2", "1/2"),
        ("x+2", "x+2+1"),
        ("1, 2", "1, 2, 123456789"),
        ("x>2", "123456789"),
        (r"\infty", "123456789"),
        ("5 cm", "123456789"),
        (r"\text{Friday}", "none of these"),
    ],
)
def test_the_wrong_answer_is_of_the_golds_kind(gold: str, answer: str) -> None:
    assert wrong_answer(gold) == answer


@pytest.mark.parametrize(
    ("text", "is_asked"),
    [
        (r"\int_0^1 x dx", True),
        ("(" * 8 + "1" + ")" * 8, True),
        ("(" * 9 + "1" + ")" * 9, False),
        ("[{(1)}]" * 9, True),
        ("x" + "+1" * 99, True),
        ("x" + "+1" * 100, False),
        ("", False),
        (r"\sqrt[3]{2}", False),
        (r"1\pm 2", False),
        ("123456", True),
        ("1234567", False),
        ("x^{99}", True),
        ("x^{100}", False),
        ("2^2^2", False),
        ("abc", False),
        (r"\sum_{n=1}^{5} n", True),
        (r"\lim_{x\to 0} x", True),
        ("x=1", False),
    ],
)
def test_the_library_is_asked_for_one_small_expression_only(text: str, is_asked: bool) -> None:
    assert is_fit(text) == is_asked
