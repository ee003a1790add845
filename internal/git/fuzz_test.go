package git

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"https://github.com/openshift/oc", "git@github.com:o/r.git", "ssh://git@h:22/a", "file:///a", "ext::sh", "https://h/a/../b", "-o", "https://h/%2d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			return
		}
		given := u.String()
		if !strings.HasPrefix(given, "https://") && !strings.HasPrefix(given, "ssh://") && !strings.HasPrefix(given, "file:///") {
			t.Errorf("%q becomes %q", s, given)
		}
		if u.Scheme != "file" && (strings.ContainsAny(given, " \n\x00?#'\"$;&|%") || strings.Contains(given, "/-") || strings.Contains(given, "..") && strings.Contains(given, "/../")) {
			t.Errorf("%q becomes %q", s, given)
		}
		again, err := ParseURL(given)
		if err != nil || again != u {
			t.Errorf("%q becomes %q, which is read as %+v: %v", s, given, again, err)
		}
	})
}

func FuzzLog(f *testing.F) {
	id := strings.Repeat("0123abcd", 5)
	f.Add(id+"\x00"+id+" "+id+"\x00Ada\x00a@b\x001700000000\x00subject\n\nbody\n\x00", 3)
	f.Add("\x00\x00\x00\x00\x00\x00", 1)
	f.Add("\n"+id+"\x00\x00\xff\x00\x00-1\x00\xff\x00", 7)
	f.Fuzz(func(t *testing.T, out string, chunk int) {
		whole, parts := &logParser{}, &logParser{}
		_, _ = whole.Write([]byte(out))
		for rest := out; rest != "" && parts.err == nil; {
			n := min(max(chunk, 1), len(rest))
			_, _ = parts.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if len(whole.commits) != len(parts.commits) || (whole.err == nil) != (parts.err == nil) {
			t.Fatalf("%d and %d commits, %v and %v", len(whole.commits), len(parts.commits), whole.err, parts.err)
		}
		for i, c := range whole.commits {
			if c.Message != parts.commits[i].Message || !fullID.MatchString(c.ID) || !utf8.ValidString(c.Message) || len(c.Message) > 3*maxField {
				t.Errorf("%+v", c)
			}
		}
	})
}
