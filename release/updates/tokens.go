package updates

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Verb is what a request to the write API does, and the role of those who may.
type Verb string

// The verbs.
const (
	Accept  Verb = "accept"  // accept a payload by hand
	Reject  Verb = "reject"  // reject a payload by hand
	Cut     Verb = "cut"     // cut a payload of a stream now
	Promote Verb = "promote" // promote an accepted payload into channels
	Refresh Verb = "refresh" // read the source of the update graph now
)

// Verbs are all that there are.
var Verbs = []Verb{Accept, Reject, Cut, Promote, Refresh}

// Identity is who bears a token.
type Identity struct {
	Name  string
	Roles []Verb
}

// May says whether the bearer has a role.
func (i Identity) May(v Verb) bool { return slices.Contains(i.Roles, v) }

// Tokens are the bearers that a file lists, one on each line:
//
//	NAME ROLE[,ROLE…] sha256:HEX [expires=YYYY-MM-DD]
//
// The file holds no token, only what each hashes to: tokens are made by NewToken and
// have 256 bits of chance, so that a plain hash cannot be guessed backwards. Empty
// lines and those that begin with # are skipped.
type Tokens struct{ bearers []bearer }

type bearer struct {
	Identity
	hash    [sha256.Size]byte
	expires time.Time // zero means never
}

const (
	tokenPrefix = "slipway_"
	maxTokens   = 1 << 20 // bytes of a file
)

var bearerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// NewToken makes a token, and the line for it.
func NewToken(name string, roles []Verb, expires time.Time) (token, line string, err error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", "", fmt.Errorf("making a token for %q: %w", name, err)
	}
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	hash := sha256.Sum256([]byte(token))
	line = fmt.Sprintf("%s %s sha256:%s", name, strings.Join(names, ","), hex.EncodeToString(hash[:]))
	if !expires.IsZero() {
		line += " expires=" + expires.Format(time.DateOnly)
	}
	if _, err := ParseTokens("token", []byte(line)); err != nil {
		return "", "", fmt.Errorf("making a token for %q: %w", name, err)
	}
	return token, line, nil
}

// ParseTokens reads a file; name is the file's, for errors. All that is wrong is said at
// once.
func ParseTokens(name string, data []byte) (*Tokens, error) {
	t := &Tokens{}
	var problems []error
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		b, err := parseBearer(line)
		if err == nil && slices.ContainsFunc(t.bearers, func(o bearer) bool { return o.Name == b.Name }) {
			err = fmt.Errorf("%q stands there twice", b.Name)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, n, err))
			continue
		}
		t.bearers = append(t.bearers, b)
	}
	problems = append(problems, lines.Err())
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return t, nil
}

func parseBearer(line string) (bearer, error) {
	var b bearer
	fields := strings.Fields(line)
	if len(fields) != 3 && len(fields) != 4 {
		return b, errors.New("a line is NAME ROLES sha256:HEX, and expires=YYYY-MM-DD if wanted")
	}
	b.Name = fields[0]
	if !bearerName.MatchString(b.Name) {
		return b, fmt.Errorf("the name must have letters, digits and ._@- only, and at most 64 of them")
	}
	for _, role := range strings.Split(fields[1], ",") {
		if !slices.Contains(Verbs, Verb(role)) {
			return b, fmt.Errorf("the roles of %q must be of %v", b.Name, Verbs)
		}
		b.Roles = append(b.Roles, Verb(role))
	}
	text, ok := strings.CutPrefix(fields[2], "sha256:")
	hash, err := hex.DecodeString(text)
	if !ok || err != nil || len(hash) != len(b.hash) {
		return b, fmt.Errorf("the hash of %q must be sha256: and 64 hexadecimal digits", b.Name)
	}
	copy(b.hash[:], hash)
	if len(fields) == 4 {
		day, ok := strings.CutPrefix(fields[3], "expires=")
		if b.expires, err = time.Parse(time.DateOnly, day); !ok || err != nil {
			return b, fmt.Errorf("the end of %q must be expires=YYYY-MM-DD", b.Name)
		}
	}
	return b, nil
}

// Identify says whose token it is. It compares with all of them, and each in the same
// time whether it fits or not.
func (t *Tokens) Identify(token string, now time.Time) (Identity, bool) {
	hash := sha256.Sum256([]byte(token))
	var found Identity
	ok := false
	for _, b := range t.bearers {
		if subtle.ConstantTimeCompare(hash[:], b.hash[:]) == 1 && (b.expires.IsZero() || now.Before(b.expires)) {
			found, ok = b.Identity, true
		}
	}
	return found, ok
}

// TokenFile is a file of tokens. It is read whenever somebody comes with one: removing
// a line shuts its bearer out at once.
type TokenFile string

// Load reads the file.
func (f TokenFile) Load() (*Tokens, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxTokens+1))
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	if len(data) > maxTokens {
		return nil, fmt.Errorf("reading tokens: %q is larger than %d bytes", string(f), maxTokens)
	}
	t, err := ParseTokens(string(f), data)
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	return t, nil
}

// Identify says whose token it is, by what the file says now.
func (f TokenFile) Identify(token string, now time.Time) (Identity, bool, error) {
	t, err := f.Load()
	if err != nil {
		return Identity{}, false, err
	}
	id, ok := t.Identify(token, now)
	return id, ok, nil
}
