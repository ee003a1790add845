package graphdata

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode"
)

// compilePattern is regexp.Compile for patterns that can be searched in all versions in a
// short time: a short one can repeat parts of itself a thousand times.
func compilePattern(text string) (*regexp.Regexp, error) {
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if n := len(program.Inst); n > maxInstructions {
		return nil, fmt.Errorf("it takes %d steps, and at most %d are allowed; write it shorter, or in several files", n, maxInstructions)
	}
	return compiled, nil
}

// anchors says whether a pattern can only be found at the begin of a text, and only at
// its end.
func anchors(pattern string) (begin, end bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false, false
	}
	return anchoredAt(re, 0, syntax.OpBeginText), anchoredAt(re, -1, syntax.OpEndText)
}

// anchoredAt says whether every way through an expression begins (side 0) or ends
// (side -1) with an operation, or with .*, which leaves nothing over either.
func anchoredAt(re *syntax.Regexp, side int, op syntax.Op) bool {
	switch re.Op {
	case op:
		return true
	case syntax.OpStar:
		return re.Sub[0].Op == syntax.OpAnyCharNotNL || re.Sub[0].Op == syntax.OpAnyChar
	case syntax.OpCapture, syntax.OpPlus:
		return anchoredAt(re.Sub[0], side, op)
	case syntax.OpConcat:
		at := 0
		if side < 0 {
			at = len(re.Sub) - 1
		}
		return anchoredAt(re.Sub[at], side, op)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !anchoredAt(sub, side, op) })
	}
	return false
}

// deadAlternatives reports alternatives with a character that no version has. Those that
// match none of the versions known are many, for releases that never came.
func deadAlternatives(k *knowledge, report func(source, string, string)) {
	for _, b := range k.Blocks {
		re, err := syntax.Parse(b.From, syntax.Perl)
		if err != nil {
			continue // Load has it compiled already
		}
		for _, dead := range impossible(re) {
			report(b.source, "from", fmt.Sprintf("its part %q can be found in no version, because of %q", dead.part, dead.char))
		}
	}
}

type impossiblePart struct{ part, char string }

// inVersions are the characters of VERSION+ARCH.
var inVersions = regexp.MustCompile(`^[0-9A-Za-z.+-]$`)

// impossible finds the characters of an expression that are in no version. What
// may be left out, as in x*, does no harm.
func impossible(re *syntax.Regexp) []impossiblePart {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if !inVersions.MatchString(string(r)) {
				return []impossiblePart{{string(re.Rune), string(r)}}
			}
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= min(re.Rune[i+1], unicode.MaxASCII); r++ {
				if inVersions.MatchString(string(r)) {
					return nil
				}
			}
		}
		return []impossiblePart{{re.String(), re.String()}}
	case syntax.OpRepeat:
		if re.Min > 0 {
			return impossible(re.Sub[0])
		}
	case syntax.OpCapture, syntax.OpPlus, syntax.OpConcat, syntax.OpAlternate:
		var all []impossiblePart
		for _, sub := range re.Sub {
			all = append(all, impossible(sub)...)
		}
		return all
	}
	return nil
}
