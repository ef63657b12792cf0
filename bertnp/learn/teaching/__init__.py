"""What a teacher needs: a tree of stubs for the class, and marks for what comes back.

submissions    what was handed in, in the layouts of Moodle and Canvas
processes      each submission judged in processes with limits; worker: what runs in them; untouched: what it watches
grading        a whole class, and its table of marks; mistakes: who has made the same one
reports        a page for each student, and one for the class
student_tree   stubs, cases and chapters to hand out   selftest: whether all of this still works
"""
