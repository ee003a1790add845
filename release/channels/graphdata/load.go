package graphdata

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/blang/semver/v4"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-release/slipway/internal/config"
	"github.com/slipway-release/slipway/internal/state"
)

// Folders and files of graph-data.
const (
	versionFile      = "version"
	channelsDir      = "channels"
	internalDir      = "internal-channels"
	blocksDir        = "blocked-edges"
	suggestionsDir   = "build-suggestions"
	metadataFile     = "raw/metadata.json"
	risksDir         = "risks"
	schemaMajor      = 1
	maxFile          = 4 << 20  // bytes
	maxFiles         = 50_000   // of the largest known there are 1,800
	maxFolder        = 64 << 20 // bytes of all files
	maxExpression    = 64 << 10 // bytes of a pattern or range
	maxInstructions  = 16_000   // of a pattern, by which its search takes time; 1,400 versions side by side have 8,000
	maxQuery         = 16 << 10 // bytes of PromQL
	extension        = ".yaml"
	expectedSchema   = "1.2.0" // the newest whose meaning is known
	regexpExpression = "RE2 regular expression"
)

// folders are those whose files are read.
var folders = []string{channelsDir, internalDir, blocksDir, suggestionsDir, risksDir}

// Folders are the folders of graph-data that hold files which are read.
func Folders() []string { return append(slices.Clone(folders), path.Dir(metadataFile)) }

// Load reads a folder of graph-data. Whatever cannot be understood is an error, a
// *config.Error with all of it: a file that is left out could unblock what it blocks.
// What can be understood and is doubtful nevertheless, Lint finds. It waits for an Apply
// that is at work.
func Load(dir string) (*Data, error) { return named(dir)(load(dir)) }

func load(dir string) (*Data, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	unlock, err := state.LockFolder(dir, true)
	switch {
	case err == nil:
		defer unlock()
	case errors.Is(err, state.ErrBusy):
		return nil, err
	} // other errors are of file systems without locks, which only writers cannot do without
	files, err := pending(root.FS())
	if err != nil {
		return nil, err
	}
	return loadFS(root.FS(), dir, files)
}

// LoadWith is Load as if files had been changed already, by path in the folder; nil stands
// for one that is removed. A folder that there is not yet is empty.
func LoadWith(dir string, changes map[string][]byte) (*Data, error) {
	return named(dir)(loadFS(os.DirFS(dir), dir, changes))
}

// LoadFS is Load for any file system; name stands for it in messages.
func LoadFS(fsys fs.FS, name string) (*Data, error) {
	changed, err := pending(fsys)
	if err != nil {
		return named(name)(nil, err)
	}
	return named(name)(loadFS(fsys, name, changed))
}

// named has errors say which folder was read, unless they are about files in it.
func named(name string) func(*Data, error) (*Data, error) {
	return func(d *Data, err error) (*Data, error) {
		var wrong *config.Error
		if err != nil && !errors.As(err, &wrong) {
			return nil, fmt.Errorf("reading graph-data %q: %w", name, err)
		}
		return d, err
	}
}

// loadFS reads files of a folder as if changed were written to it already; nil there
// stands for a file that is to be removed.
func loadFS(fsys fs.FS, name string, changed map[string][]byte) (*Data, error) {
	l := &loader{fsys: fsys, d: &Data{Path: name, files: map[string][]byte{}}, patterns: map[string]*pattern{}, changed: changed}
	if err := l.read(); err != nil {
		return nil, err
	}
	l.parse()
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b config.Problem) int {
			return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
		})
		return nil, &config.Error{Problems: slices.Compact(l.problems)}
	}
	return l.d, nil
}

// loader reads graph-data and gathers what is wrong with it.
type loader struct {
	fsys    fs.FS
	changed map[string][]byte
	d       *Data

	mu       sync.Mutex
	problems []config.Problem
	patterns map[string]*pattern
}

// pattern is a regular expression, compiled once however many files have it.
type pattern struct {
	once     sync.Once
	compiled *regexp.Regexp
	err      error
}

// read takes all files of graph-data into memory.
func (l *loader) read() error {
	for _, dir := range folders {
		entries, err := fs.ReadDir(l.fsys, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if info, statErr := fs.Stat(l.fsys, dir); statErr == nil && !info.IsDir() {
				l.bad(dir, "must be a folder")
				continue
			}
			return err
		}
		for _, e := range entries {
			if err := l.readFile(path.Join(dir, e.Name()), e); err != nil {
				return err
			}
		}
	}
	for _, file := range []string{versionFile, metadataFile} {
		info, err := fs.Stat(l.fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := l.readFile(file, fs.FileInfoToDirEntry(info)); err != nil {
			return err
		}
	}
	for file, data := range l.changed {
		switch {
		case data == nil:
			delete(l.d.files, file)
		case l.reads(file):
			l.d.files[file] = data
		}
	}
	total := 0
	for _, data := range l.d.files {
		total += len(data)
	}
	if total > maxFolder {
		return fmt.Errorf("its files have more than %d bytes together", maxFolder)
	}
	if len(l.d.files) > maxFiles {
		return fmt.Errorf("it has more than %d files", maxFiles)
	}
	return nil
}

func (l *loader) readFile(name string, e fs.DirEntry) error {
	if ignored(path.Base(name)) {
		return nil
	}
	if e.IsDir() || !e.Type().IsRegular() {
		l.bad(name, "must be a file")
		return nil
	}
	f, err := l.fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		l.bad(name, "is larger than %d bytes", maxFile)
		return nil
	}
	l.d.files[name] = data
	return nil
}

// reads says whether a file is one of graph-data, by its path.
func (l *loader) reads(file string) bool {
	return file == versionFile || file == metadataFile || slices.Contains(folders, path.Dir(file)) && !ignored(path.Base(file))
}

// ignored are files that people put beside the data.
func ignored(name string) bool {
	upper := strings.ToUpper(strings.TrimLeft(name, "_"))
	return strings.HasPrefix(name, ".") || upper == "OWNERS" || strings.HasPrefix(upper, "README")
}

func (l *loader) bad(file, format string, args ...any) { l.badAt(file, 1, "", format, args...) }

func (l *loader) badAt(file string, line int, field, format string, args ...any) {
	l.report(config.Problem{File: l.name(file), Line: line, Field: field, Message: shorten(fmt.Sprintf(format, args...))})
}

func (l *loader) report(problems ...config.Problem) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, problems...)
}

// name is how a file is called in messages.
func (l *loader) name(file string) string { return path.Join(l.d.Path, file) }

// parse reads what the files hold, side by side and in order.
func (l *loader) parse() {
	if schema, ok := l.d.files[versionFile]; ok {
		l.checkSchema(strings.TrimSpace(string(schema)))
	} else {
		l.bad(versionFile, "is missing; it holds the schema's version, such as %s", expectedSchema)
	}
	if _, ok := l.d.files[metadataFile]; ok {
		l.metadata()
	}
	l.d.Channels = parseDir(l, channelsDir, (*loader).channel)
	l.d.Internal = parseDir(l, internalDir, (*loader).channel)
	l.d.Blocks = parseDir(l, blocksDir, (*loader).block)
	l.d.Suggestions = parseDir(l, suggestionsDir, (*loader).suggestions)
	l.d.Risks = parseDir(l, risksDir, (*loader).risk)
}

// jsonString is a string of JSON with its quotes.
var jsonString = regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"`)

// metadata reads the only file that is JSON, which is YAML but for two escapes: of a slash,
// and of what UTF-16 writes with two units.
func (l *loader) metadata() {
	data := l.d.files[metadataFile]
	var any json.RawMessage
	if err := json.Unmarshal(data, &any); err != nil {
		line := 1
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			line += bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
		}
		l.badAt(metadataFile, line, "", "must be JSON: %v", err)
		return
	}
	plain := jsonString.ReplaceAllFunc(data, func(quoted []byte) []byte {
		var text string
		if json.Unmarshal(quoted, &text) != nil {
			return quoted
		}
		return []byte(strconv.Quote(text))
	})
	d := &config.Decoder{File: l.name(metadataFile)}
	d.Decode(plain, &l.d.Metadata)
	l.report(d.Problems...)
}

func (l *loader) checkSchema(text string) {
	l.d.Schema = text
	v, err := semver.Parse(text)
	switch {
	case err != nil:
		l.bad(versionFile, "must be a version such as %s, not %q", expectedSchema, text)
	case v.Major != schemaMajor:
		l.bad(versionFile, "schema %s is not known; only %d.x is", text, schemaMajor)
	}
}

// parseDir reads the files of a folder with parse, as many at a time as there are cores.
func parseDir[T any](l *loader, dir string, parse func(*loader, string) T) []T {
	var names []string
	for name := range l.d.files {
		if path.Dir(name) != dir {
			continue
		}
		if path.Ext(name) != extension {
			l.bad(name, "its name must end in %s: what is in it would not be read", extension)
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	all := make([]T, len(names))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		group.Go(func() error { all[i] = parse(l, name); return nil })
	}
	_ = group.Wait() // they return none
	return all
}

// decode reads a file into out and says where its fields stand.
func (l *loader) decode(file string, out any) source {
	d := &config.Decoder{File: l.name(file)}
	d.Decode(l.d.files[file], out)
	l.report(d.Problems...)
	return source{file: file, decoder: d, folder: l.d.Path}
}

// must reports fields that are missing, unless something else is wrong with the file.
func (l *loader) must(s source, fields map[string]string) bool {
	if len(s.decoder.Problems) > 0 {
		return false
	}
	ok := true
	for field, value := range fields {
		if strings.TrimSpace(value) == "" {
			l.badAt(s.file, s.Line(field), field, "is missing")
			ok = false
		}
	}
	return ok
}

func (l *loader) channel(file string) (c Channel) {
	c.source = l.decode(file, &c)
	if l.must(c.source, map[string]string{"name": c.Name}) && c.Feeder != nil {
		l.must(c.source, map[string]string{"feeder.name": c.Feeder.Name})
		if c.Feeder.Filter != "" && l.compile(c.source, "feeder.filter", c.Feeder.Filter) != nil {
			if _, err := c.Feeder.Pattern(); err != nil { // as in \Qx, whose end is left out
				l.badAt(c.file, c.Line("feeder.filter"), "feeder.filter", "%q cannot be held against whole versions: %v", c.Feeder.Filter, err)
			}
		}
	}
	return c
}

func (l *loader) block(file string) (b Block) {
	b.source = l.decode(file, &b)
	if !l.must(b.source, map[string]string{"to": b.To, "from": b.From}) {
		return b
	}
	b.pattern = l.compile(b.source, "from", b.From)
	if !b.Conditional() {
		return b
	}
	// With only some of them, other readers take the file for neither kind of block.
	l.must(b.source, map[string]string{"url": b.URL, "name": b.Name, "message": b.Message})
	l.checkRules(b.source, "matchingRules", b.MatchingRules)
	return b
}

func (l *loader) compile(s source, field, text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	if len(text) > maxExpression {
		l.badAt(s.file, s.Line(field), field, "is longer than %d bytes", maxExpression)
		return nil
	}
	l.mu.Lock()
	p := l.patterns[text]
	if p == nil {
		p = &pattern{}
		l.patterns[text] = p
	}
	l.mu.Unlock()
	p.once.Do(func() { p.compiled, p.err = compilePattern(text) })
	if p.err != nil {
		l.badAt(s.file, s.Line(field), field, "%q is no %s: %v", text, regexpExpression, p.err)
	}
	return p.compiled
}

func (l *loader) suggestions(file string) Suggestions {
	s := Suggestions{Minor: strings.TrimSuffix(path.Base(file), extension)}
	s.source = l.decode(file, &s.ByArch)
	return s
}

// Stamp is another one whenever the files of a folder may be.
func Stamp(fsys fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && name != "." && strings.HasPrefix(e.Name(), ".") {
			return fs.SkipDir // .git
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("looking at graph-data: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
