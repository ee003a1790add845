package main

import (
	"fmt"
	"io"
	"time"

	"github.com/slipway-release/slipway/release/mirror"
)

// watchMirror runs the copy and shows how far it is.
func (a *app) watchMirror(of *mirror.Progress, run func() (*mirror.Result, error)) (*mirror.Result, error) {
	p := a.slowProgress("mirror")
	r, err := watchCopy(of, sayEvery, p.say, run)
	p.done(err)
	return r, err
}

// watchCopy runs a copy and says every now and then how far it is.
func watchCopy(of *mirror.Progress, every time.Duration, say func(string), run func() (*mirror.Result, error)) (*mirror.Result, error) {
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		var before int64
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			now := of.Bytes.Load()
			rate := int64(float64(now-before) / every.Seconds())
			say(fmt.Sprintf("%d of %d images, %s, %s/s", of.ImagesDone.Load(), of.Images.Load(), bytesOf(now), bytesOf(rate)))
			before = now
		}
	}()
	r, err := run()
	close(done)
	<-watched
	return r, err
}

// bytesOf writes a number of bytes for people.
func bytesOf(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

func (f *mirrorFlags) print(a *app, r *mirror.Result, signatures []string) error {
	instructions, err := mirror.Instructions(f.instructions, r.Sources)
	if err != nil {
		return usage(err)
	}
	names := []string{}
	for _, i := range r.Images {
		names = append(names, i.To)
	}
	return f.out.print(a.Out, result{value: r, names: names, text: func(w io.Writer) {
		if f.mapping {
			for _, i := range r.Images {
				fmt.Fprintf(w, "%s %s\n", i.From, i.To)
			}
			return
		}
		if f.toStream != "" {
			fmt.Fprintf(w, "# %s %s into image stream %s: %d images in %.1f s\n", imported(r.DryRun), r.Version, f.toStream, len(r.Images), r.Seconds)
		} else {
			printMirror(w, r)
		}
		for _, s := range signatures {
			fmt.Fprintf(w, "# Signatures are in %s\n", s)
		}
		if len(instructions) > 0 {
			fmt.Fprintln(w)
			_, _ = w.Write(instructions)
		}
	}})
}

func printMirror(w io.Writer, r *mirror.Result) {
	done, companions, fresh := "Copied", 0, 0
	if r.DryRun {
		done = "Would copy"
	}
	for _, i := range r.Images {
		if companions += i.CompanionsCopied; i.Status == mirror.StatusCopied {
			fresh++
		}
	}
	fmt.Fprintf(w, "# %s %s: %d of %d images, %d signatures and attestations, %s in %.1f s\n", done, r.Version, fresh, len(r.Images), companions, bytesOf(r.Bytes), r.Seconds)
	fmt.Fprintf(w, "# Blobs: %d copied, %d mounted, %d there before\n", r.Blobs.Copied, r.Blobs.Mounted, r.Blobs.Present)
	for _, k := range r.Kept {
		fmt.Fprintf(w, "# Left as it is, for it has what the source has not (see --overwrite): %s\n", k)
	}
	if r.Target != "" {
		fmt.Fprintf(w, "# Release image: %s\n# Digest: %s\n", r.Target, r.Digest)
	}
}

func imported(dryRun bool) string {
	if dryRun {
		return "The cluster would import"
	}
	return "The cluster imported"
}
